"""What the tasks share, in storeys. A module imports from its own storey and from those below it, never from above.

    app/              what a user sees of a trained network: answers, their pictures, the page
    training/         a run and its traces: recipe, run.json, checkpoints, hooks, evaluation, testing
    data/   graph/    where images come from; what a graph is made of. They know nothing of each other
    command_line, errors

Importing `common`, or anything in it, imports TensorFlow: in graph mode, and without its start-up chatter. So a script
imports from `common` before `tensorflow`.
"""

import os
import sys
import tempfile
from contextlib import contextmanager


@contextmanager
def _quiet_stderr():
    """Holds back what C++ code writes to stderr, and shows it after all if the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _import_tensorflow():
    import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_behavior()
    tf.enable_resource_variables()


# oneDNN: TensorFlow leaves it off on a CPU without AVX-512 VNNI or the like, though it is faster there too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
try:
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:  # the user wants to see TensorFlow's messages
        _import_tensorflow()
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # errors only; 2.21 prints some lines before it reads this
        with _quiet_stderr():
            _import_tensorflow()
except KeyboardInterrupt:
    sys.exit(130)
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {sys.executable} has no module {error.name!r}. Run ./run.sh setup and use .venv/bin/python, "
        "or: pip install -r requirements.txt"
    )
