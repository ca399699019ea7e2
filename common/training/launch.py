"""The workers of a cluster on this machine: starts them, and all of them again when one is lost."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from common.training.cluster import START_AGAIN

NOTICING = 5  # seconds in which the others notice that one has failed, and say so; then they are killed


def workers(count):
    """Runs this program's command in `count` processes, the chief first, each with its share of the cores.

    They talk on the loopback; the chief alone prints, the others only if they fail otherwise than the chief. All start
    again each time that one is killed or lost. Returns the exit status. SIGINT, SIGTERM and SIGHUP go on to the chief,
    which agrees with the others on the step to stop at.
    """
    processes, stopping = [], []

    def stop(number, frame):
        stopping.append(number)
        for chief in processes[:1]:
            chief.send_signal(number)

    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):  # Windows has no SIGHUP
        number = getattr(signal, name)
        if name == "SIGINT" or signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, stop)
    while True:
        with contextlib.ExitStack() as files:
            said = [None, *(files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(1, count))]
            processes[:] = _started(said)
            for number in stopping:  # what came before there was a chief
                processes[0].send_signal(number)
            statuses = _ended(processes)
            final = [status for status in statuses if status > 0 and status != START_AGAIN]
            _tell(statuses, said, stopping, lost=not final)
        if final or not any(statuses):
            return final[0] if final else 0
        if stopping:
            return 128 + stopping[0]
        print("all workers start again", file=sys.stderr, flush=True)


def _started(said):
    """The processes, each with its place in the cluster in its environment. said: files for their output, or None."""
    chief, *others = [f"127.0.0.1:{port}" for port in free_ports(len(said))]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = str(max(1, cores // len(said)))
    environment = {"TF_NUM_INTRAOP_THREADS": share, "TF_NUM_INTEROP_THREADS": share} | os.environ  # TensorFlow's names
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # set by `common`
    processes = []
    for i, file in enumerate(said):
        task = {"type": "worker", "index": i - 1} if i else {"type": "chief", "index": 0}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"chief": [chief], "worker": others}, "task": task})
        command = [sys.executable, *sys.argv]
        # In sessions of their own: or a terminal would send them Ctrl-C, too.
        processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True))
    return processes


def free_ports(count):
    """Ports of the loopback that are free now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def _ended(processes):
    """Their exit statuses, 0 for those that are killed: the others get the time to notice that one failed."""
    try:
        until = None
        while None in (statuses := [process.poll() for process in processes]):
            if until is None and any(statuses):
                until = time.monotonic() + NOTICING
            if until and time.monotonic() > until:
                break
            time.sleep(0.1)
        return [status or 0 for status in statuses]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _tell(statuses, said, stopping, lost):
    """Prints which were killed, and what those said that failed otherwise than the chief.

    stopping: the signals that were asked for. lost: whether that some lost others is what happened; else it follows
    from an error of one of them.
    """
    for i, (status, file) in enumerate(zip(statuses, said, strict=True)):
        who = f"worker {i}" if i else "the chief"
        if status < 0 and -status not in stopping:
            print(f"{who}: killed by {signal.Signals(-status).name}", file=sys.stderr)
        if not file or status in (0, statuses[0]) or (status == START_AGAIN and not lost):
            continue
        file.seek(0)
        if text := file.read().strip():
            print(f"{who}: {text}", file=sys.stderr)
