"""The optimiser Muon, for the kernels of convolutions.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. The iteration's factors are theirs.
"""

import tensorflow.compat.v1 as tf

SHARE = 0.24  # of a kernel's norm: the length of a step at a learning rate of 1
ITERATIONS, FACTORS = 5, (3.4445, -4.7750, 2.0315)


class Muon(tf.train.MomentumOptimizer):
    """Nesterov's momentum; a kernel's step is made orthogonal, and its length is a share of the kernel's norm.

    For that a kernel [height, width, in, out] is a matrix [height · width · in, out]. The orthogonal step has the same
    directions as the momentum's, but all count alike, those of small gradients too. A kernel of zeros stays as it is.
    Other variables, such as biases and the weights of dense layers, get the momentum's own step.
    """

    def __init__(self, learning_rate, momentum):
        super().__init__(learning_rate, momentum, use_nesterov=True)

    def _resource_apply_dense(self, grad, var):
        if var.shape.rank != 4:
            return super()._resource_apply_dense(grad, var)
        slot = self.get_slot(var, "momentum")
        momentum = slot.assign(self._momentum * slot + grad)
        step = orthogonal(tf.reshape(grad + self._momentum * momentum, [-1, var.shape[-1]]))
        length = self._learning_rate_tensor * SHARE * tf.norm(var) / min(step.shape.as_list()) ** 0.5
        return var.assign_sub(length * tf.reshape(step, var.shape), read_value=False)


def orthogonal(matrix):
    """A matrix with the same singular vectors, float32 [rows, columns].

    Its singular values are 0.6 to 1.2, but for those that were below 1 % of the matrix's norm: they are smaller. By
    Newton and Schulz's iteration x ← (a + b·xxᵀ + c·(xxᵀ)²)·x, which stays near 1 in bfloat16, too.
    """
    a, b, c = FACTORS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix / (tf.norm(matrix) + 1e-7)
    x = tf.transpose(x) if tall else x  # so that xxᵀ is small
    for _ in range(ITERATIONS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.transpose(x) if tall else x
