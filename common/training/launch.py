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
        signal.signal(getattr(signal, name), stop)
    while True:
        with contextlib.ExitStack() as files:
            said = [None, *(files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(1, count))]
            processes[:] = _started(said)
            statuses = _ended(processes)
            _tell(statuses, said)
        final = [status for status in statuses if status > 0 and status != START_AGAIN]
        if final or stopping or not any(statuses):
            return final[0] if final else 128 + stopping[0] if stopping else 0
        print("all workers start again", file=sys.stderr, flush=True)


def _started(said):
    """The processes, each with its place in the cluster in its environment. said: files for their output, or None."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in said]
    chief, *others = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]  # ports that are free
    for each in held:
        each.close()
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}  # set by `common`
    cores = str(max(1, os.cpu_count() // len(said)))
    environment |= {"TF_NUM_INTRAOP_THREADS": cores, "TF_NUM_INTEROP_THREADS": cores}  # TensorFlow's own variables
    processes = []
    for i, file in enumerate(said):
        task = {"type": "worker", "index": i - 1} if i else {"type": "chief", "index": 0}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"chief": [chief], "worker": others}, "task": task})
        command = [sys.executable, *sys.argv]
        # In sessions of their own: or a terminal would send them Ctrl-C, too.
        processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True))
    return processes


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


def _tell(statuses, said):
    """Prints which were killed, and what those said that failed otherwise than the chief."""
    for i, (status, file) in enumerate(zip(statuses, said, strict=True)):
        who = f"worker {i}" if i else "the chief"
        if status < 0:
            print(f"{who}: killed by {signal.Signals(-status).name}", file=sys.stderr)
        elif status != statuses[0]:
            file.seek(0)
            if text := file.read().strip():
                print(f"{who}: {text}", file=sys.stderr)
