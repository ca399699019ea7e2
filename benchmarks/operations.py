"""How much arithmetic a graph holds."""


def multiply_adds(op):
    """Those of the convolutions and matrix products that an operation needs; all their shapes must be known."""
    needed, waiting = {op}, [op]
    while waiting:
        op = waiting.pop()
        before = {tensor.op for tensor in op.inputs} | set(op.control_inputs)
        waiting += before - needed
        needed |= before
    return sum(map(_multiply_adds, needed))


def _multiply_adds(op):
    if op.type == "MatMul":
        inner = op.inputs[0].shape.as_list()[0 if op.get_attr("transpose_a") else 1]
        return op.outputs[0].shape.num_elements() * inner
    if op.type in ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        x, y = op.inputs[0], op.outputs[0] if op.type == "Conv2D" else op.inputs[2]
        kernel = op.outputs[0] if op.type == "Conv2DBackpropFilter" else op.inputs[1]
        # Each pixel of the smaller one meets the whole kernel. (That is x in a forward convolution for its gradient.)
        pixels = y.shape[:3].num_elements()
        if op.type == "Conv2D":
            pixels = min(pixels, x.shape[:3].num_elements())
        return pixels * kernel.shape.num_elements()
    return 0
