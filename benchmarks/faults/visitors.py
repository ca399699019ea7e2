"""Measures what the page does under load: many visitors at once, then thousands of connections that stall.

    python benchmarks/faults/visitors.py

Starts `mnist/app.py --serve`, on the CPU, with at most 1,024 handles. Each visitor sends a picture, waits for the
answer, and sends the next; after a 503 it waits as long as Retry-After says, and gives up when page.js would. Then
connections that send half a head and no more are opened and held, and one visitor comes after them. Prints tables in
Markdown and a verdict; the exit status is 1 if the server broke a promise. On Linux.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.app import server
from common.training import runs

import psutil

APP = [sys.executable, ROOT / "mnist" / "app.py", "--checkpoint", ROOT / "checkpoints" / "mnist" / runs.PRETRAINED]
TRIES = 6  # of page.js
THREADS = server.VISITORS + server.REFUSED
HANDLES = 1024  # that the server may have, as most systems allow
MEGABYTES = 100  # that the server may take for connections that stall, above those at rest


async def ask(port, picture):
    """What the server makes of a picture: (HTTP status, seconds of Retry-After, answer), None if it breaks off."""
    head = f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(picture)}\r\n\r\n"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            writer.write(head.encode() + picture)
            answer = await asyncio.wait_for(reader.read(), 120)
        head, _, body = answer.decode().partition("\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        return int(head.split()[1]), int(fields.get("Retry-After", 0)), json.loads(body).get("answer")
    except (OSError, asyncio.TimeoutError, IndexError, ValueError):
        return None


async def patient(port, picture, expected):
    """One picture as page.js sends it: (seconds, tries, outcome)."""
    started, tries = time.perf_counter(), 1
    while (found := await ask(port, picture)) and found[0] == 503 and tries < TRIES:
        await asyncio.sleep(found[1])
        tries += 1
    outcome = "failed"
    if found:
        outcome = "gave up" if found[0] == 503 else "answered" if found[2] == expected else "wrong"
    return time.perf_counter() - started, tries, outcome


async def visitors(port, pictures, count, seconds):
    """[(seconds, tries, outcome)] of all pictures of some visitors, and how long all of it took."""
    started, results = time.perf_counter(), []

    async def visitor(i):
        for picture, expected in itertools.islice(itertools.cycle(pictures.items()), i % len(pictures), None):
            results.append(await patient(port, picture, expected))
            if time.perf_counter() - started > seconds:
                return

    await asyncio.gather(*map(visitor, range(count)))
    return results, time.perf_counter() - started


def row(count, results, seconds):
    """A row of the table."""
    times = sorted(each for each, _, outcome in results if outcome == "answered")
    given_up = sum(outcome == "gave up" for *_, outcome in results)
    asked = sum(tries for _, tries, _ in results)
    refused, given_up = (asked - len(results) + given_up) / asked, given_up / len(results)
    middle, late = (statistics.median(times), times[len(times) * 99 // 100]) if times else (math.nan, math.nan)
    rate = len(times) / seconds
    return f"| {count:,} | {rate:.0f} | {middle:.2f} s | {late:.2f} s | {refused:.1%} | {given_up:.1%} |"


def state(process):
    """The server's (threads, handles, memory in MB)."""
    return process.num_threads(), process.num_fds(), process.memory_info().rss / 1e6


async def stalled(port, pictures, count, process):
    """(The most that state() gives while connections stall, ask() of a visitor after them, its seconds, patient())."""
    states = [state(process)]

    def open_all():
        for i in range(count):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), 60, (f"127.0.0.{2 + i % 8}", 0)))
            with contextlib.suppress(OSError):  # it was refused before
                one.sendall(b"GET / HTTP/1.1\r\nHost: ")

    async def come():
        await asyncio.to_thread(open_all)
        picture, expected = next(iter(pictures.items()))
        started = time.perf_counter()
        return await ask(port, picture), time.perf_counter() - started, await patient(port, picture, expected)

    with contextlib.ExitStack() as held:
        coming = asyncio.create_task(come())
        while not coming.done():
            states.append(state(process))
            await asyncio.sleep(0.02)
    return tuple(map(max, zip(*states, strict=True))), *coming.result()


def serve(errors):
    """Starts the program; (Popen, port)."""
    command = [*map(str, APP), "--device", "cpu", "--serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=runner.ENVIRONMENT)
    while not (line := process.stdout.readline()).startswith("http"):
        if not line:
            errors.seek(0)
            sys.exit(errors.read().strip())
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE, (HANDLES, HANDLES))
    return process, int(line.split()[0].rpartition(":")[2])


def load(args, port, pictures):
    """Prints the table of visitors; {text: whether the promise was kept}."""
    print("| visitors | answers/s | median | 99th percentile | requests refused | given up |\n" + "| --- " * 6 + "|")
    outcomes = set()
    for count in args.visitors:
        results, seconds = asyncio.run(visitors(port, pictures, count, args.seconds))
        outcomes |= {outcome for *_, outcome in results}
        print(row(count, results, seconds), flush=True)
    return {
        "each request was answered or refused with a 503": "failed" not in outcomes,
        "each answer was that of the visitor's own picture": "wrong" not in outcomes,
    }


def attack(args, port, pictures, process):
    """Prints the table of connections that stall; {text: whether the promise was kept}."""
    rest = state(process)
    most, found, first, (seconds, tries, outcome) = asyncio.run(stalled(port, pictures, args.stalled, process))
    print(f"\n| {args.stalled:,} stalled connections | at rest | most |\n| --- | --- | --- |")
    for name, *values in zip(("threads", "handles", "memory, MB"), rest, most, strict=True):
        print(f"| {name} | {' | '.join(f'{value:,.0f}' for value in values)} |")
    print(f"\nA visitor after them had {found[0] if found else 'no answer'} in {first:.2f} s. ", end="")
    print(f"As page.js goes on, it {outcome} after {seconds:.1f} s, at try {tries}.")
    return {
        f"at most {THREADS} threads more": most[0] - rest[0] <= THREADS,
        f"fewer than {HANDLES:,} handles": most[1] < HANDLES,
        f"at most {MEGABYTES} MB more": most[2] - rest[2] <= MEGABYTES,
        "a visitor after those who stall hears within 2 s": bool(found) and first < 2,
        "and has its answer as page.js goes on": outcome == "answered",
    }


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    number = command_line.positive(int)
    parser.add_argument("--visitors", type=number, nargs="+", default=[1, 10, 100, 1000], help="(%(default)s)")
    parser.add_argument("--seconds", type=number, default=20, help="for each number of visitors (%(default)s)")
    parser.add_argument("--stalled", type=number, default=10_000, help="connections (%(default)s)")
    args = parser.parse_args()
    needed, (_, most) = max(*args.visitors, args.stalled) + 20, resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < needed:
        parser.error(f"this system allows a program {most} handles, not {needed}; choose fewer --stalled")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"{runner.machine()}; commit {' of '.join(runner.commit_and_date())}\n")
    with tempfile.TemporaryFile("w+") as errors:
        process, port = serve(errors)
        try:
            examples = [file.read_bytes() for file in (ROOT / "docs" / "examples" / "mnist").glob("*.jpg")]
            pictures = {example: asyncio.run(ask(port, example))[2] for example in examples}  # alone
            promises = load(args, port, pictures) | attack(args, port, pictures, psutil.Process(process.pid))
            promises["the server still runs"] = process.poll() is None
        finally:
            process.terminate()
            process.wait()
        errors.seek(0)
        promises["no traceback"] = "Traceback" not in errors.read()
    print(*(f"\n- {'kept' if kept else 'BROKEN'}: {text}" for text, kept in promises.items()), sep="")
    print(f"\nverdict: {'every promise kept' if all(promises.values()) else 'a promise was broken'}")
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    command_line.run(main)
