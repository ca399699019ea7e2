"""Several training steps in one call of the session: a loop in the graph around a step that was built before."""

import tensorflow.compat.v1 as tf

STATE = ("VarHandleOp", "IteratorV2")  # operations that stand for what lasts: the step in the loop shares them


def repeated(step, watched):
    """Takes a training step several times. As the loop's body is a copy of the step, both compute the same bits.

    step: the operation of one step. watched: {name: scalar tensor of a step}. Returns a placeholder, int32 [], for how
    many times, and {name: tensor [times]}: what fetches those takes the steps.
    """
    graph, wanted = tf.get_default_graph(), [step.name, *(tensor.name for tensor in watched.values())]
    definition = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [name.partition(":")[0] for name in wanted])
    state = [f"{node.name}:0" for node in definition.node if node.op in STATE]
    state = {name: graph.get_tensor_by_name(name) for name in state}

    def once(i, arrays):
        done, *values = tf.import_graph_def(definition, state, wanted, name="step")
        with tf.control_dependencies([done]):
            return i + 1, [array.write(i, value) for array, value in zip(arrays, values, strict=True)]

    with tf.name_scope("several_steps"):
        times = tf.placeholder(tf.int32, [], "times")
        arrays = [tf.TensorArray(tensor.dtype, times, element_shape=[]) for tensor in watched.values()]
        _, arrays = tf.while_loop(lambda i, _: i < times, once, (0, arrays), parallel_iterations=1)
        return times, {name: array.stack() for name, array in zip(watched, arrays, strict=True)}
