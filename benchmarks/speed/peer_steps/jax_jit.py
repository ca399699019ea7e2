"""JAX: the whole step compiled by jax.jit."""

import functools

import jax
import numpy as np
from .problem import EPSILON, MOMENTUM
from jax import lax
from jax import numpy as jnp


def prepare(mode, problem, threads):
    """mode: jit. XLA takes as many threads as the process has cores."""
    del mode, threads
    fixed = {n: jnp.asarray(w) for n, w in problem.weights.items() if n.startswith("whiten/")}
    weights = {
        n: jnp.array(w)  # a copy, which step() may overwrite
        for n, w in problem.weights.items()
        if n not in fixed and not n.endswith(("moving_mean", "moving_variance"))
    }
    velocity = jax.tree.map(jnp.zeros_like, weights)
    images, labels = jnp.asarray(problem.images), jnp.asarray(problem.labels)
    size = problem.batch_size

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(weights, velocity, start):
        x, y = (lax.dynamic_slice_in_dim(a, start, size) for a in (images, labels))

        def loss_of(weights):
            logits = forward(x, problem.layers, weights | fixed, jnp.dtype(problem.precision))
            log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
            return -jnp.take_along_axis(log_probabilities, y[:, None], axis=1).mean()

        loss, gradients = jax.value_and_grad(loss_of)(weights)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
        return jax.tree.map(lambda w, v: w - problem.learning_rate * v, weights, velocity), velocity, loss

    state, done = (weights, velocity), 0

    def steps(count):
        nonlocal state, done
        losses = []
        for _ in range(count):
            *state, loss = step(*state, problem.batch(done).start)
            losses.append(loss)
            done += 1
        return [float(loss) for loss in losses]

    return steps


def forward(x, layers, weights, precision):
    """Without the moving averages of batch normalisation: no step reads them, though the others also update them."""
    x, weights = x.astype(precision), {name: w.astype(precision) for name, w in weights.items()}
    for kind, *rest in layers:
        if kind in ("conv", "whiten"):
            name, *_, bias, padding = rest if kind == "conv" else (rest[0], True, "VALID")
            dimensions = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(x, weights[f"{name}/weights"], (1, 1), padding, dimension_numbers=dimensions)
            x = x + weights[f"{name}/biases"] if bias else x
        elif kind == "norm":
            mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))  # summed in float32
            scale = weights[f"{rest[0]}/scale"] * lax.rsqrt(variance + EPSILON)
            x = (x - mean) * scale + weights[f"{rest[0]}/offset"]
        elif kind == "pool":
            x = lax.reduce_window(x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), rest[0])
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "gelu":
            x = jax.nn.gelu(x, approximate=False)
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind == "max":
            x = x.max(axis=(1, 2))
        elif kind == "dense":
            x = x @ weights[f"{rest[0]}/weights"] + weights[f"{rest[0]}/biases"]
        elif kind == "divide":
            x = x / rest[0]
    return x
