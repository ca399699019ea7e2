"""Save, restore, continue: a run that is stopped and goes on ends where it would have ended without the stop.

Gradient descent takes w from 5 towards the minimum of (w + 1)², with a moving average of w beside it. Prints 6 steps in
one go. Then 3 steps are saved, and a new session that restores the file takes 3 more. Last, `variables_to_restore` puts
the average in the place of w, as for a test.
"""

import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

global_step = tf.train.get_or_create_global_step()
w = tf.get_variable("w", initializer=5.0)
train_step = tf.train.GradientDescentOptimizer(0.1).minimize(tf.square(w + 1), global_step)
ema = tf.train.ExponentialMovingAverage(0.9, global_step)
with tf.control_dependencies([train_step]):
    train_op = ema.apply([w])
saver = tf.train.Saver()  # of all variables: w, its average, and the step


def train(session, until):
    """Runs steps until the global step has reached a number."""
    while session.run(global_step) < until:
        session.run(train_op)
    print("step {}  w {:.6f}  average {:.6f}".format(*session.run([global_step, w, ema.average(w)])))


print("in one go:")
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    train(session, until=6)

with tempfile.TemporaryDirectory() as folder:
    print("stopped after 3 steps:")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        train(session, until=3)
        saver.save(session, f"{folder}/model.ckpt", global_step)  # to model.ckpt-3.index and .data-00000-of-00001

    # The file `checkpoint` in the folder names the newest one.
    newest = tf.train.get_checkpoint_state(folder).model_checkpoint_path
    print("in", Path(newest).name)
    for name, shape in tf.train.list_variables(newest):
        print(f"  {name:26} {shape} {tf.train.load_variable(newest, name):.6g}")

    print("continued:")
    with tf.Session() as session:
        saver.restore(session, newest)  # instead of the initial values
        train(session, until=6)

    print("to test, from the names in the file to the variables of the graph:")
    to_restore = ema.variables_to_restore()
    for name, variable in sorted(to_restore.items()):
        print(f"  {name:26} -> {variable.op.name}")
    with tf.Session() as session:
        tf.train.Saver(to_restore).restore(session, newest)
        print(f"w {session.run(w):.6f}")
