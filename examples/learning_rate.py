"""The learning rate: too large, right, too small; and rates that decay with the steps.

Prints w and the loss (w + 1)² while gradient descent looks for the minimum at -1, from w = 5. A rate of 1 jumps to and
fro for ever, 0.2 arrives, and 0.001 hardly moves. Then it prints a rate of 0.1 that is halved every 10 steps, smoothly
and by a staircase. Draws both to logs/examples/learning_rate.png.
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, graph_mode  # noqa: F401 (before tensorflow)

import matplotlib
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt

STEPS = 40

parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--show", action="store_true", help="opens a window with the picture, too")
show = parser.parse_args().show
if not show:
    matplotlib.use("agg")  # draws to files; needs no screen

# (w + 1)², with three rates.
paths = {}
for rate in (1.0, 0.2, 0.001):
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", initializer=5.0)
        loss = tf.square(w + 1)
        train_step = tf.train.GradientDescentOptimizer(rate).minimize(loss)
        session.run(tf.global_variables_initializer())
        path = [session.run([w, loss])]
        for _ in range(STEPS):
            session.run(train_step)
            path.append(session.run([w, loss]))
    paths[rate] = path
    for step in (0, 1, 2, 3, STEPS):
        print(f"rate {rate:<5}  step {step:2}  w {path[step][0]:8.4f}  loss {path[step][1]:8.4f}")

# Rates that depend on the global step, which the optimiser counts.
global_step = tf.train.get_or_create_global_step()
smooth = tf.train.exponential_decay(0.1, global_step, decay_steps=10, decay_rate=0.5)
staircase = tf.train.exponential_decay(0.1, global_step, decay_steps=10, decay_rate=0.5, staircase=True)
w = tf.get_variable("w", initializer=5.0)
train_step = tf.train.GradientDescentOptimizer(staircase).minimize(tf.square(w + 1), global_step)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    rates = [session.run([smooth, staircase])]
    for _ in range(STEPS):
        session.run(train_step)
        rates.append(session.run([smooth, staircase]))
    for step in (0, 5, 9, 10, STEPS):
        print(f"decay  step {step:2}  smooth {rates[step][0]:.5f}  staircase {rates[step][1]:.5f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for (rate, path), color in zip(paths.items(), ("#9aa0a6", "#1f77b4", "#e07020"), strict=True):
    left.plot([w for w, loss in path[:16]], label=f"rate {rate:g}", color=color)
left.set(title="(w + 1)² from w = 5: the minimum is at -1", xlabel="step", ylabel="w", ylim=(-8, 9))
right.plot([each[0] for each in rates], label="smooth", color="#1f77b4")
right.step(range(STEPS + 1), [each[1] for each in rates], where="post", label="staircase", color="#e07020")
right.set(title="0.1, halved every 10 steps", xlabel="step", ylabel="learning rate", ylim=(0, 0.11))
left.legend(frameon=False, ncols=3, loc="upper center")
right.legend(frameon=False)
for axis in (left, right):
    axis.grid(alpha=0.25)
picture = command_line.ROOT / "logs" / "examples" / "learning_rate.png"
picture.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(picture, dpi=80)
print("picture:", command_line.shown(picture))
if show:
    plt.show()
