"""PyTorch: eager in its own layout, eager with channels last, compiled with channels last."""

import torch
from .problem import DECAY, EPSILON, MOMENTUM
from torch.nn import functional as F

LAYOUTS = {
    "eager": torch.contiguous_format, "channels last": torch.channels_last, "compiled": torch.channels_last,
}  # fmt: skip


def prepare(mode, problem, threads):
    """mode: eager, channels last, or compiled."""
    torch.set_num_threads(threads)
    layout = LAYOUTS[mode]
    weights = tensors(problem, layout)
    frozen = {n for n in weights if n.endswith(("moving_mean", "moving_variance")) or n.startswith("whiten/")}
    for name, weight in weights.items():
        weight.requires_grad_(name not in frozen)
    images = torch.tensor(problem.images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    labels = torch.tensor(problem.labels).long()
    trained = [w for n, w in weights.items() if n not in frozen]
    optimizer = torch.optim.SGD(trained, problem.learning_rate, MOMENTUM, fused=True)  # one operation for each

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=problem.precision == "bfloat16"):
            logits = forward(x, problem.layers, weights)
        return F.cross_entropy(logits.float(), y)

    if mode == "compiled":
        loss_of = torch.compile(loss_of)
    done = 0

    def steps(count):
        nonlocal done
        losses = []
        for _ in range(count):
            batch = problem.batch(done)
            optimizer.zero_grad()
            loss = loss_of(images[batch], labels[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            done += 1
        return torch.stack(losses).tolist()

    return steps


def prepare_evaluation(mode, problem, threads):
    """A function (batch_size, count) that gives the logits of the first `count` images."""
    torch.set_num_threads(threads)
    weights = tensors(problem, LAYOUTS[mode])

    images = torch.from_numpy(problem.images).permute(0, 3, 1, 2).contiguous(memory_format=LAYOUTS[mode])

    def logits(x):
        return forward(x, problem.layers, weights, train=False)

    run = torch.compile(logits) if mode == "compiled" else logits

    @torch.inference_mode()
    def evaluate(batch_size, count):
        return torch.cat([run(images[i : i + batch_size]) for i in range(0, count, batch_size)]).numpy()

    return evaluate


def tensors(problem, layout):
    """The weights by name, kernels as [out, in, height, width]."""
    values = {name: torch.tensor(value) for name, value in problem.weights.items()}
    return {
        name: w.permute(3, 2, 0, 1).contiguous(memory_format=layout) if w.ndim == 4 else w for name, w in values.items()
    }


def forward(x, layers, weights, train=True):
    for kind, *rest in layers:
        if kind == "conv":
            name, kernel, bias, _ = rest
            biases = weights[f"{name}/biases"] if bias else None
            x = F.conv2d(x, weights[f"{name}/weights"], biases, padding=kernel // 2)
        elif kind == "whiten":
            x = F.conv2d(x, weights["whiten/weights"], weights["whiten/biases"])
        elif kind == "norm":
            scale, offset, mean, variance = (
                weights[f"{rest[0]}/{key}"] for key in ("scale", "offset", "moving_mean", "moving_variance")
            )
            x = F.batch_norm(x, mean, variance, scale, offset, training=train, momentum=1 - DECAY, eps=EPSILON)
        elif kind == "pool":
            x = F.max_pool2d(x, 2, ceil_mode=rest[0] == "SAME")
        elif kind == "relu":
            x = F.relu(x)
        elif kind == "gelu":
            x = F.gelu(x)
        elif kind == "flatten":
            x = x.permute(0, 2, 3, 1).flatten(1)  # in TensorFlow's order, for the same weights
        elif kind == "max":
            x = x.amax(dim=(2, 3))
        elif kind == "dense":
            x = torch.addmm(weights[f"{rest[0]}/biases"], x, weights[f"{rest[0]}/weights"])
        elif kind == "divide":
            x = x / rest[0]
    return x
