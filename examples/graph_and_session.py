"""Graph, session, fetch and feed: what is built first, and what runs later.

Prints a product, first as a place in the graph, then its value. A variable counts. Several fetches come from one run.
A feed replaces a tensor in the middle of the graph. Last, two graphs know nothing of each other.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

# A graph: tf.constant and tf.matmul add operations to it, and compute nothing.
row = tf.constant([[1.0, 2.0]])  # shape [1, 2]
column = tf.constant([[3.0], [4.0]])  # shape [2, 1]
product = tf.matmul(row, column, name="product")
print("built:", row, product, sep="\n  ")

# A session runs the operations that a fetch needs.
with tf.Session() as session:
    print("run:", session.run(product))

# A variable keeps its value from run to run, as long as the session lives.
counter = tf.get_variable("counter", initializer=0)
count = tf.assign(counter, counter + 1)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())  # before it, the variable has no value
    print("counted:", *[session.run(count) for _ in range(3)])
    print("and still:", session.run(counter))

# Several fetches come from one run, in the form in which they were asked for.
price, pieces = tf.placeholder(tf.float32, name="price"), tf.placeholder(tf.float32, name="pieces")
total = tf.multiply(price, pieces, name="total")
with_tax = total * 1.25
with tf.Session() as session:
    order = {price: 2.5, pieces: 4.0}
    print("a list:", *session.run([total, with_tax], order))
    bill = session.run({"before tax": total, "with tax": with_tax}, order)
    print("a dict:", bill["before tax"], bill["with tax"])

    # A feed replaces any tensor: what lies before it is not run, so price and pieces need no value.
    print("total fed:", session.run(with_tax, {total: 100.0}))

# An InteractiveSession is the default one until it is closed: tensors then have eval().
session = tf.InteractiveSession()
print("eval:", product.eval(), with_tax.eval({total: 10.0}))
session.close()

# A second graph has names and operations of its own.
other = tf.Graph()
with other.as_default():
    seven = tf.constant(7, name="product")  # the name is free: it is another graph
print("two graphs:", product.name, seven.name, "in one graph:", product.graph is seven.graph)
with tf.Session(graph=other) as session:
    print("the second:", session.run(seven))
    try:
        session.run(product)
    except ValueError as error:
        print("the first in its session:", error)
