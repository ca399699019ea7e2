"""Puts hostile pictures through the reading and through both apps: none may crash, hang, or take much memory.

    python benchmarks/faults/pictures.py

Each picture is read and made a network's input in a process of its own. That tells the seconds of a processor, as
others may use the machine, and the memory above that after an ordinary picture. Then both apps get all of them at once.
The last line is the verdict, as is the exit status. On Linux.
"""

import argparse
import csv
import io
import itertools
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

import cifar10.picture_to_input
import mnist.picture_to_input
from benchmarks.faults import hostile
from common import command_line
from common.app import classifier
from common.errors import UserError, printable

NOBODY = 65_534  # the number of a user who may do nothing
INPUTS = {
    "mnist": mnist.picture_to_input.reader("", 28),
    "mnist --segment": mnist.picture_to_input.numbers("", 28),
    "cifar10": cifar10.picture_to_input.reader("", 32),
}
MOST_SECONDS, MOST_MEMORY = 5, 300  # per picture; MB above an ordinary picture
MORE_MEMORY = {"largest.heic": 400}  # of an iPhone's 48 million pixels, which libheif gives in one piece
HANGS = 60  # seconds
CHANGED_FOR = 3  # seconds, that a file is changed while it is read
APART = multiprocessing.get_context("fork")  # from this process, which never loads TensorFlow


def memory(which):
    """Of this process in MB: VmRSS is what it has, VmHWM what it had at most."""
    return int(re.search(rf"{which}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000


def one_line(path, network_input):
    """What the reading makes of a picture: "an answer", or the one line of a UserError."""
    try:
        classifier.prepared(path, path, network_input)
    except UserError as error:
        return f"error: {error}"
    return "an answer"


def apart(function, *arguments):
    """What a function returns in a process of its own, and its seconds and MB; or how it ended without."""
    here, there = APART.Pipe(duplex=False)

    def run():
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        started = sum(os.times()[:4])
        try:
            result = function(*arguments)
        except Exception as error:
            result = f"Traceback: {error!r}"
        used = max(memory("VmHWM") - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
        there.send((result, sum(os.times()[:4]) - started, used))

    process = APART.Process(target=run)
    process.start()
    there.close()
    try:
        if not here.poll(HANGS):
            process.kill()
            return f"hangs for more than {HANGS} s", HANGS, 0
        return here.recv()
    except EOFError:
        process.join()
        return f"the process died with status {process.exitcode}", 0, 0
    finally:
        process.join()


def read_alone(paths, ordinary):
    """Reads each picture for each network; prints a line for each, and returns what was wrong."""
    wrong = []
    for name, network_input in INPUTS.items():
        print(f"\n{name}: seconds, MB, picture, outcome")
        one_line(ordinary, network_input)  # the base has what an ordinary picture leaves
        for path in paths:
            outcome, seconds, used = apart(one_line, path, network_input)
            shown = f"{printable(path.name):.60}"
            print(f"{seconds:6.2f} {used:5.0f}  {shown:28} {outcome.replace(f'{printable(path)} ', '')}", flush=True)
            fine = outcome == "an answer" or re.fullmatch("error: .+", outcome)
            if not fine or seconds > MOST_SECONDS or used > MORE_MEMORY.get(path.name, MOST_MEMORY):
                wrong.append(f"{name}: {shown}: {outcome[:200]}, {seconds:.1f} s, {used:.0f} MB")
    return wrong


def change(path, whole, ended):
    """Replaces, cuts and deletes a file, again and again."""
    while not ended.is_set():
        path.write_bytes(whole)
        time.sleep(0.01)
        os.truncate(path, len(whole) // 3)
        other = path.with_name("other")
        other.write_bytes(whole[: len(whole) // 2])
        other.replace(path)
        path.unlink()


def read_again_and_again(path):
    """{outcome: how often}."""
    until, outcomes = time.monotonic() + CHANGED_FOR, {}
    while time.monotonic() < until:
        outcome = re.sub("error: .+", "a line", one_line(path, INPUTS["cifar10"]))
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def changed_while_read(folder):
    """Reads files that another thread changes; prints what came of it, and returns what was wrong."""
    wrong = []
    print(f"\ncifar10: files that are replaced, cut and deleted for {CHANGED_FOR} s")
    for name, options in hostile.FORMATS.items():
        path, ended = folder / name, threading.Event()
        whole = hostile.encoded(hostile.image(2000, 2000), name.split(".")[-1], **options)
        thread = threading.Thread(target=change, args=(path, whole, ended))
        thread.start()
        try:
            outcome, _, _ = apart(read_again_and_again, path)
        finally:
            ended.set()
            thread.join()
        print(f"{name:28} {outcome}", flush=True)
        if not isinstance(outcome, dict) or not outcome.keys() <= {"an answer", "a line"}:
            wrong.append(f"{name}, changed: {outcome}")
    return wrong


def unreadable(folder):
    """A picture that its reader may not open; prints what came of it, and returns what was wrong."""
    path = folder / "forbidden.png"
    path.write_bytes(hostile.encoded(hostile.image(), "png"))
    path.chmod(0)

    def read():
        if os.geteuid() == 0:  # who may open all
            os.setuid(NOBODY)
        return one_line(path, INPUTS["cifar10"])

    outcome, _, _ = apart(read)
    print(f"\nforbidden.png: {outcome}")
    return [] if outcome.endswith("cannot be read: Permission denied") else [f"forbidden.png: {outcome}"]


def make(folder):
    """Makes all of them; their paths."""
    paths = list(hostile.odd(folder))
    for name, data in itertools.chain(hostile.files(), hostile.slow()):
        (folder / name).write_bytes(data)
        paths.append(folder / name)
    return paths


def apps(paths, folder):
    """Both apps with all pictures, as a table and as JSON; returns what was wrong."""
    wrong = []
    for (task, *flags), form in itertools.product((name.split() for name in INPUTS), ([], ["--json"], ["--csv"])):
        network = ["--checkpoint", ROOT / "checkpoints" / task / "pretrained", "--output-dir", folder / "annotated"]
        command = [sys.executable, ROOT / task / "app.py", *network, "--device", "cpu", *flags, *form, *paths]
        name, started = " ".join([task, *flags, *form]), time.perf_counter()
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=HANGS * len(paths))
        out, err = done.stdout.decode(), done.stderr.decode()
        if "Traceback" in err:
            wrong.append(f"{name}: {err[err.index('Traceback') :].strip()}")
            continue
        errors = err.splitlines()[1:] if form else err.splitlines()  # the first one names the network
        if form == ["--json"]:
            rows = json.loads(out)
        elif form:
            rows = list(csv.DictReader(io.StringIO(out)))
        else:
            rows = [*out.splitlines()[1:-1], *errors]  # a line for each picture, between the network and the summary
        print(f"{name}: status {done.returncode}, {len(rows)} rows, {len(errors)} errors, "
              f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
        names = [row["picture"].encode(errors="surrogateescape") for row in rows] if form else []
        for fault, found in (
            ("status", done.returncode != 1), ("rows", len(rows) != len(paths)),
            ("names", form == ["--json"] and names != [os.fsencode(path) for path in paths]),
            ("what is no error's line", [line for line in errors if not line.startswith("error: ")]),
            ("not printable", [line for line in [*errors, *(rows if not form else [])] if not line.isprintable()]),
        ):  # fmt: skip
            if found:
                wrong.append(f"{name}: {fault}: {str(found)[:300]}")
    return wrong


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)  # for another user
        ordinary = folder / "ordinary.jpg"
        ordinary.write_bytes(hostile.encoded(hostile.image(480, 640), "jpg"))
        with APART.Pool(1) as pool:  # in another process, so that this one stays small
            paths = pool.apply(make, [folder])
        print(f"{len(paths)} hostile pictures")
        wrong = read_alone(paths, ordinary) + changed_while_read(folder) + unreadable(folder)
        wrong += apps([ordinary, *paths], folder)
    print("\n" + "\n".join(wrong))
    print(f"verdict: {len(wrong)} faults" if wrong else "verdict: nothing crashed, hung, or took too much")
    return 1 if wrong else 0


if __name__ == "__main__":
    command_line.run(main)
