"""What several processes do together that train one network: workers, the first of which is the chief.

Each has all variables, and computes its part of every batch. What they found is added up by TensorFlow's collectives,
over gRPC, and the sum is the same in all: so they stay alike, to the bit. Only the chief writes checkpoints and logs.
"""

import hashlib
import itertools
import json

from common.errors import UserError
from common.graph import towers
from common.training.hooks import CountSteps

import numpy as np
import tensorflow.compat.v1 as tf

TIMEOUT = 30  # seconds to wait for what the others compute
READING = 120  # seconds to wait for the chief to read its checkpoint
START_AGAIN = 75  # the exit status when another one was lost: EX_TEMPFAIL of sysexits.h


class Lost(UserError):
    """Another worker is gone: starting all of them again mends it."""

    status = START_AGAIN


class Cluster:
    """The workers, as one of them sees them; without arguments, a process that trains alone."""

    def __init__(self, addresses=("",), index=0, target="", config=None):
        """addresses: host:port of each, the chief's first. index: its own. target, config: of its sessions."""
        self.addresses, self.index, self.target, self.config = addresses, index, target, config
        self.size, self.part, self.is_chief = len(addresses), towers.Part(index, len(addresses)), index == 0
        self._keys = itertools.count(1)  # of collectives: the same in all workers, as all build the same graphs
        self.stop = self.stopping = None  # tensors: 1.0 is fed to stop; how many want to

    def mean(self, structure):
        """The mean of a structure of float32 tensors over all workers, in one message, with who wants to stop."""
        if self.size == 1:
            return structure
        self.stop = tf.placeholder_with_default(0.0, [], "stop")
        tensors = [self.stop, *tf.nest.flatten(structure)]
        with tf.name_scope("mean_of_workers"):
            stopping, *sums = self._sum(tensors)
            self.stopping = tf.identity(stopping, "stopping")
            return tf.nest.pack_sequence_as(structure, [total / self.size for total in sums])

    def rows(self, own, first, count, most):
        """All rows of a float32 tensor of which each worker has some.

        first: where its own begin. count: of all. most: the largest count: the message has the size of that.
        """
        if self.size == 1:
            return own
        behind = most - first - tf.shape(own, out_type=tf.int64)[0]
        return self._all_reduce(tf.pad(own, [[first, behind], [0, 0]]))[:count]  # zeros change no bit

    def copied_from_chief(self, variables):
        """An operation that gives variables the chief's values, to the bit; and the bits of all of them, int32."""
        bits = [tf.bitcast(variable.read_value(), tf.int32) for variable in variables]
        values = self._sum(bits if self.is_chief else [tf.zeros_like(each) for each in bits], READING)
        pairs = zip(variables, values, strict=True)
        copying = [v.assign(tf.bitcast(value, v.dtype), read_value=False) for v, value in pairs]
        return tf.group(copying), tf.concat([tf.reshape(each, [-1]) for each in bits], 0)

    def _sum(self, tensors, timeout=TIMEOUT):
        """Of each tensor the sum over all workers; one message."""
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
        sums = tf.split(self._all_reduce(flat, timeout=timeout), [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(total, tensor.shape) for total, tensor in zip(sums, tensors, strict=True)]

    def _all_reduce(self, tensor, how="Add", timeout=TIMEOUT):
        """The sum of a tensor over all workers; of the same shape in each run."""
        with tf.device("/device:CPU:0"):
            return tf.raw_ops.CollectiveReduceV2(
                input=tensor, group_size=self.size, group_key=1, instance_key=next(self._keys), ordering_token=[],
                merge_op=how, final_op="Id", communication_hint="ring", timeout_seconds=timeout,
            )  # fmt: skip

    def exchange(self, said):
        """What each worker says, in their order; all have to call it at the same point. said: for JSON."""
        if self.size == 1:
            return [said]
        text = np.frombuffer(json.dumps(said).encode(), np.uint8)  # without zeros
        with tf.Graph().as_default(), tf.Session(self.target, config=self.config) as session:
            [length] = session.run(self._all_reduce(tf.constant([len(text)]), "Max"))
            own = np.zeros([self.size, length], np.int32)
            own[self.index, : len(text)] = text
            texts = session.run(self._all_reduce(tf.constant(own)))
        return [json.loads(bytes(row[row > 0].astype(np.uint8))) for row in texts]

    def check_alike(self, said):
        """Raises UserError in all workers if one of them says something else than the chief. said: a dict."""
        chief, *others = self.exchange(said)
        for i, other in enumerate(others, 1):
            if different := [key for key in chief if other.get(key) != chief[key]]:
                each = [f"{key} is {other.get(key)!r:.70}, the chief's {chief[key]!r:.70}" for key in different[:3]]
                raise UserError(f"worker {i} at {self.addresses[i]} differs: {'; '.join(each)}")


ALONE = Cluster()


class KeepAlike(CountSteps):
    """Gives the workers the chief's variables before the first step. Checks that they still have the same at each save.

    To be called before other hooks. Raises UserError if they have not.
    """

    def __init__(self, workers, every):
        """workers: a Cluster. every: steps between saves."""
        self._workers, self._every = workers, every

    def begin(self):
        self._copying, self._bits = self._workers.copied_from_chief(tf.global_variables())
        self._streams = tf.get_collection(tf.GraphKeys.TABLE_INITIALIZERS)

    def after_create_session(self, session, coord):
        session.run(self._copying)
        session.run(self._streams)  # which begin at the step that the chief is at
        super().after_create_session(session, coord)
        self._check(session)

    def after_step(self, run_context, results):
        if self.step % self._every == 0:
            self._check(run_context.session)

    def end(self, session):
        self._check(session)

    def _check(self, session):
        digest = hashlib.sha256(session.run(self._bits)).hexdigest()
        self._workers.check_alike({f"SHA-256 of the variables at step {self.step}": digest})
