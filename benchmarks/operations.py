"""How much arithmetic a graph holds."""


def multiply_adds(graph):
    """Those of a graph's convolutions and matrix products, gradients included; all shapes must be known."""
    count = 0
    for op in graph.get_operations():
        if op.type == "MatMul":
            inner = op.inputs[0].shape.as_list()[0 if op.get_attr("transpose_a") else 1]
            count += op.outputs[0].shape.num_elements() * inner
        elif op.type in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
            y = op.outputs[0] if op.type == "Conv2D" else op.inputs[2]  # each of its pixels meets the whole kernel
            kernel = op.outputs[0] if op.type == "Conv2DBackpropFilter" else op.inputs[1]
            count += y.shape[:3].num_elements() * kernel.shape.num_elements()
    return count
