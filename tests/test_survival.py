"""What a run survives: full disks, saves that were cut short, clocks set back, terminals and streams that are gone."""

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from common.errors import UserError
from common.training import checkpoints, event_file, hooks, runs, trainer
from mnist.forward import NETWORKS

import conftest
import pytest
import tensorflow.compat.v1 as tf
from helpers import RUN, scalars, train

PRETRAINED = conftest.ROOT / "checkpoints" / "mnist" / runs.PRETRAINED
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such terminals, signals and folders")


def test_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tiny, tmp_path, small_disk):
    """A checkpoint of fully_connected has 3.2 MB."""
    whole = train(tmp_path / "whole", tiny, 12)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(4_000_000))
    with pytest.raises(UserError) as error:
        train(small_disk, tiny, 12)
    message = str(error.value)
    assert message.startswith(f"cannot save step 12 in {small_disk}: No space left on device.")
    assert re.search(r"A checkpoint needs 3.2 MB, [12].\d MB are free. Step 8 is saved;[^\n]*$", message)
    filler.unlink()
    resumed = train(small_disk, tiny, 12)
    assert all((resumed[name] == whole[name]).all() for name in whole)


def test_full_disk_leaves_run_json_as_it_was(small_disk):
    runs.write(small_disk, RUN)
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(UserError, match="^cannot write .*run.json: No space left on device$"):
        runs.write(small_disk, RUN)
    assert runs.read(small_disk, NETWORKS) == RUN


def test_full_disk_of_the_logs_is_one_line_and_no_step_is_missing_afterwards(tiny, tmp_path, small_disk):
    whole = train(tmp_path / "whole", tiny, 12)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "logs").symlink_to(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))  # less than the graph takes
    with pytest.raises(UserError, match=r"^cannot write .*logs: No space left on device$"):
        train(tmp_path / "run", tiny, 12)
    filler.unlink()
    resumed = train(tmp_path / "run", tiny, 12)
    assert all((resumed[name] == whole[name]).all() for name in whole)
    assert list(scalars(small_disk, "accuracy/validation")) == [4, 8, 12]


def test_a_folder_that_vanishes_is_one_line(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr(hooks.StopOnSignal, "after_run", lambda *args: shutil.rmtree(folder, ignore_errors=True))
    with pytest.raises(UserError, match=r"^cannot write .*run.json: No such file or directory$"):
        train(folder, tiny, 8)


@pytest.mark.parametrize("name", [".", "logs"])
def test_a_folder_that_vanishes_before_a_save_is_one_line(tiny, tmp_path, monkeypatch, name):
    folder, write = tmp_path / "run", runs.write

    def vanish(*args):
        write(*args)
        shutil.rmtree(folder / name)

    monkeypatch.setattr(runs, "write", vanish)
    with pytest.raises(UserError, match="^cannot (write|save) [^\n]*(No such file or directory|doesn't exist)"):
        train(folder, tiny, 8)


def test_what_saves_that_were_cut_short_have_left_is_removed(tiny, tmp_path):
    train(tmp_path, tiny, 4)
    left = ["model.ckpt-8.data-00000-of-00001.tempstate17", "model.ckpt-8.index.tempstate9", f"checkpoint.tmp{7:032x}"]
    for name in (*left, "notes.txt"):
        (tmp_path / name).write_text("half")
    train(tmp_path, tiny, 8)
    assert (tmp_path / "notes.txt").exists() and not any((tmp_path / name).exists() for name in left)


def test_a_damaged_last_checkpoint_is_trained_again(trained):
    folder, _ = trained
    assert not trainer.begin(runs.read(folder), folder)
    data = folder / "model.ckpt-3.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    assert trainer.begin(runs.read(folder), folder)


def test_the_log_is_whole_up_to_each_checkpoint(tiny, tmp_path, monkeypatch):
    """A kill after a save loses nothing that TensorBoard shows."""
    found = {}
    save = tf.train.Saver.save

    def look(self, session, path, global_step, **kwargs):
        found[global_step] = list(scalars(tmp_path / "logs", "accuracy/validation"))
        return save(self, session, path, global_step, **kwargs)

    monkeypatch.setattr(tf.train.Saver, "save", look)
    train(tmp_path, tiny, 9)
    assert found == {4: [4], 8: [4, 8], 9: [4, 8, 9]}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to see which files are synced")
def test_what_was_saved_outlasts_a_loss_of_power(tiny, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    train(tmp_path, tiny, 4)
    files = {"model.ckpt-4.data-00000-of-00001", "model.ckpt-4.index", "checkpoint"}
    assert synced[0] == "run.json.part" and set(synced[1:4]) == files and synced[4] == tmp_path.name


def test_logs_keep_their_order_when_the_clock_is_set_back(tmp_path):
    for now, steps in ((2_000_000_000, (1, 2)), (1_000_000_000, (2, 3))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(event_file.time, "time", lambda now=now: float(now))
            log = event_file.EventFile(tmp_path)
            log.drop_from(steps[0])
            for step in steps:
                log.add_summary(tf.Summary(value=[tf.Summary.Value(tag="loss", simple_value=now / 1e9)]), step)
            log.flush()
    assert scalars(tmp_path, "loss") == {1: 2.0, 2: 1.0, 3: 1.0}


@POSIX
def test_a_signal_is_told_before_the_step_has_ended(monkeypatch):
    told = []
    monkeypatch.setattr(hooks.tqdm, "write", lambda text, stream: told.append(text))

    def long_step():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(500):
            if told:
                break
            time.sleep(0.01)
        return len(told)

    with hooks.StopOnSignal() as stop, tf.Session() as session:
        assert session.run(tf.numpy_function(long_step, [], tf.int64)) == 1
        assert stop.received == signal.SIGTERM
    assert told == ["SIGTERM: this step ends and is saved; SIGTERM again stops at once"]


@pytest.mark.slow
@POSIX
def test_the_same_signal_again_ends_a_step_that_lasts():
    program = """
import os, signal, time
from common.training import hooks
import tensorflow.compat.v1 as tf

def long_step():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    time.sleep(100)
    return 1

with hooks.StopOnSignal(), tf.Session() as session:
    session.run(tf.numpy_function(long_step, [], tf.int64))
"""
    words = [sys.executable, "-c", program]
    options = {"cwd": conftest.ROOT, "env": conftest.environment(), "capture_output": True, "text": True}
    done = subprocess.run(words, **options, timeout=90)
    assert done.returncode == 128 + signal.SIGTERM and done.stderr.startswith("SIGTERM: this step ends")


@POSIX
def test_a_state_file_of_strangers_reaches_nothing_elsewhere(tiny, tmp_path):
    """The Saver deletes the oldest checkpoints that the state file names."""
    elsewhere = tmp_path / "elsewhere" / "model.ckpt-1.index"
    elsewhere.parent.mkdir()
    elsewhere.write_text("dear to its owner")
    train(tmp_path / "run", tiny, 4)
    names = [str(elsewhere.with_suffix("")), *(f"../elsewhere/model.ckpt-{i}" for i in range(1, 9))]
    lines = [f'model_checkpoint_path: "{names[0]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    (tmp_path / "run" / "checkpoint").write_text("\n".join(lines))
    train(tmp_path / "run", tiny, 32)
    assert elsewhere.read_text() == "dear to its owner"


@pytest.mark.slow
@POSIX
def test_a_terminal_that_is_gone_is_no_reason_to_lose_a_step(tmp_path):
    import fcntl
    import pty
    import termios

    flags = ["--network", "fully_connected", "--dataset", "generated", "--steps", 100_000, *conftest.folders(tmp_path)]
    words = [sys.executable, conftest.ROOT / "mnist" / "backward.py", *flags]
    child, terminal = pty.fork()
    if not child:
        os.execve(sys.executable, list(map(str, words)), conftest.environment())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    seen = b""
    while seen.count(b"images/s") < 10:  # the bar
        seen += os.read(terminal, 4096)
    os.close(terminal)  # the window
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    folder = runs.folder(tmp_path / "checkpoints", "mnist", "fully_connected", "generated")
    assert checkpoints.step(checkpoints.latest(folder)) > 0


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "> /dev/full"])
def test_closed_streams_and_full_ones(tmp_path, streams):
    words = [sys.executable, conftest.ROOT / "mnist" / "app.py", "--checkpoint", PRETRAINED, "--output-dir", tmp_path]
    words += [conftest.ROOT / "docs" / "digit.jpg"]
    command = " ".join(f"'{word}'" for word in words) + f" {streams}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=conftest.environment())
    assert (done.returncode, done.stderr) == (
        (1, "error: standard output: No space left on device\n") if "full" in streams else (0, "")
    )
    assert (tmp_path / "digit.png").exists() == (done.returncode == 0)


def test_ctrl_c_during_the_imports_shows_no_traceback():
    program = "import common; raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", program], cwd=conftest.ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGINT and done.stderr == b""
