"""Importing this imports TensorFlow: in graph mode, and without its start-up chatter.

So a file imports this, or what imports this (graph/, training/), before `tensorflow`.
"""

import gc
import os
import sys

from common.command_line import quiet_stderr


def _import_tensorflow():
    # TensorFlow would import these where they are installed; the first brings all of Keras, a third of the time.
    absent = [name for name in ("keras.src.optimizers", "jax", "scipy") if sys.modules.setdefault(name, None) is None]
    gc.disable()  # what is imported stays, and the search for garbage in it takes a fifth of the time
    import tensorflow.compat.v1 as tf

    gc.freeze()  # later searches leave it out
    gc.enable()
    for name in absent:
        del sys.modules[name]  # for those who import it
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_behavior()
    tf.enable_resource_variables()


# oneDNN: TensorFlow leaves it off on a CPU without AVX-512 VNNI or the like, though it is faster there too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "TF_CPP_MIN_LOG_LEVEL" in os.environ:  # the user wants to see TensorFlow's messages
    _import_tensorflow()
else:
    workers = "TF_CONFIG" in os.environ or os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1"
    # Errors only; of workers not even those: one line tells of a lost one. 2.21 prints some before it reads this.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3" if workers else "2"
    with quiet_stderr():
        _import_tensorflow()
