"""The moving average of a weight, and the race that it loses if it is made in the wrong place.

First prints a weight and its average, the shadow. Each time it becomes d · shadow + (1 - d) · weight, with d = 0.99. In
the first steps d is less, (1 + step) / (10 + step), or the shadow would long remember where it began.

Then the race. Each run adds 1 to a weight and takes its average. Here d = 0, so the shadow is the weight that was seen.
If `ema.apply` is made outside `control_dependencies([train_step])`, nothing orders the two. Where the train step takes
5 ms longer, the old weight is averaged. Where the averaging starts 5 ms later, it is the new one. Where neither waits,
luck decides, and the count is another one each time. Made inside, it always sees the new weight.
"""

import sys
import time
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

w1 = tf.get_variable("w1", initializer=0.0)
step = tf.get_variable("step", initializer=0, trainable=False)
ema = tf.train.ExponentialMovingAverage(0.99, step)
average = ema.apply([w1])
with tf.Session() as session:
    session.run(tf.global_variables_initializer())

    def take_average():
        session.run(average)
        print("step {:3}  w1 {:2g}  average {:.6f}".format(*session.run([step, w1, ema.average(w1)])))

    take_average()
    session.run(w1.assign(1.0))
    take_average()
    session.run([step.assign(100), w1.assign(10.0)])
    for _ in range(7):
        take_average()


def pause():
    """An operation that takes 5 ms."""
    return tf.numpy_function(lambda: time.sleep(0.005), [], [])


def old_weights_seen(runs, inside, training_waits=False, averaging_waits=False):
    """In how many runs the average was of the weight before the train step."""
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", initializer=0.0)
        with tf.control_dependencies([pause()] if training_waits else []):
            train_step = w.assign_add(1.0)
        ema = tf.train.ExponentialMovingAverage(0.0)
        with tf.control_dependencies([train_step] if inside else [pause()] if averaging_waits else []):
            average = ema.apply([w])
        train_op = tf.group(train_step, average)  # runs both, and says nothing of their order

        session.run(tf.global_variables_initializer())
        old = 0
        for _ in range(runs):
            session.run(train_op)
            weight, shadow = session.run([w, ema.average(w)])
            old += shadow != weight
        return f"saw the old weight in {old} of {runs} runs"


print("outside, the train step takes longer: ", old_weights_seen(50, False, training_waits=True))
print("outside, the averaging starts later:  ", old_weights_seen(50, False, averaging_waits=True))
print("outside, neither waits:               ", old_weights_seen(500, False), "(luck)")
print("inside, the train step takes longer:  ", old_weights_seen(50, True, training_waits=True))
print("inside, neither waits:                ", old_weights_seen(500, True))
