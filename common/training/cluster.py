"""Several processes that train one network together: workers, the first of which is the chief.

Each has all variables, and computes its part of every batch. What they found is added up by TensorFlow's collectives,
over gRPC, and the sum is the same in all: so they stay alike, to the bit. Only the chief writes checkpoints and logs.
TF_CONFIG or SLURM tells who they are. When one dies the others end, too: then all are to be started again.
"""

import contextlib
import ipaddress
import itertools
import json
import os
import socket
import sys
import time

from common.errors import UserError
from common.graph import towers

import numpy as np
import tensorflow.compat.v1 as tf

TIMEOUT = 30  # seconds to wait for what the others compute
COMING = 120  # seconds to wait for the others to come
START_AGAIN = 75  # the exit status when another one was lost: EX_TEMPFAIL of sysexits.h
FAULTS_OF_OTHERS = (
    tf.errors.DeadlineExceededError, tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
)  # fmt: skip


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
        values = self._sum(bits if self.is_chief else [tf.zeros_like(each) for each in bits])
        pairs = zip(variables, values, strict=True)
        copying = [v.assign(tf.bitcast(value, v.dtype), read_value=False) for v, value in pairs]
        return tf.group(copying), tf.concat([tf.reshape(each, [-1]) for each in bits], 0)

    def _sum(self, tensors):
        """Of each tensor the sum over all workers; one message."""
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
        sums = tf.split(self._all_reduce(flat), [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(total, tensor.shape) for total, tensor in zip(sums, tensors, strict=True)]

    def _all_reduce(self, tensor, how="Add"):
        """The sum of a tensor over all workers; of the same shape in each run."""
        with tf.device("/device:CPU:0"):
            return tf.raw_ops.CollectiveReduceV2(
                input=tensor, group_size=self.size, group_key=1, instance_key=next(self._keys), ordering_token=[],
                merge_op=how, final_op="Id", communication_hint="ring", timeout_seconds=TIMEOUT,
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


def is_told():
    """Whether the environment tells of a cluster."""
    return "TF_CONFIG" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1


@contextlib.contextmanager
def join(config):
    """The Cluster that the environment tells of, once all its workers have come; ALONE if it tells of none.

    config: of the sessions. Raises UserError for an environment that makes no sense, and Lost, then or in the block, if
    a worker does not come or is gone.
    """
    jobs, own = _members()
    tasks = [(job, i) for job in jobs for i in range(len(jobs[job]))]
    if len(tasks) < 2:
        yield ALONE
        return
    addresses = [jobs[job][i] for job, i in tasks]
    config.experimental.collective_group_leader = "/job:{}/replica:0/task:{}".format(*tasks[0])
    config.device_filters.append("/job:{}/task:{}".format(*own))
    index = tasks.index(own)
    try:
        server = tf.train.Server(tf.train.ClusterSpec(jobs), *own, config=config)
    except tf.errors.OpError:
        raise UserError(f"cannot listen at {addresses[index]}; is another program at work on that port?") from None
    if not all(map(_is_loopback, addresses)):
        port = addresses[index].rpartition(":")[2]
        print(f"who reaches port {port} of this machine controls this program: docs/cluster.md", file=sys.stderr)
    others = {i: address for i, address in enumerate(addresses) if i != index}
    until = time.monotonic() + COMING
    while missing := _silent(others):
        if time.monotonic() > until:
            raise Lost(f"{missing} did not come within {COMING} s; start all workers again")
        time.sleep(0.2)
    try:
        yield Cluster(addresses, index, server.target, config)
    except FAULTS_OF_OTHERS as error:
        missing = _silent(others) or f"a worker, though all are there ({type(error).__name__})"
        raise Lost(f"lost {missing}; start all workers again, and they go on from the last checkpoint") from None


def _members():
    """({job: addresses}, (own job, own number)), the chief's job first; ({}, None) if the environment tells of none.

    Raises UserError for what is not a cluster of a chief and workers.
    """
    if not is_told():
        return {}, None
    resolvers = tf.distribute.cluster_resolver
    try:
        if "TF_CONFIG" in os.environ:
            resolver = resolvers.TFConfigClusterResolver()
        else:  # one GPU a task at least, or it fails; which one is --device's affair
            resolver = resolvers.SlurmClusterResolver(gpus_per_node=2**16, gpus_per_task=1, auto_set_gpu=False)
        jobs = resolver.cluster_spec().as_dict()
        own = resolver.task_type, resolver.task_id
        jobs = {job: jobs.pop(job) for job in ("chief", "worker") if job in jobs} | jobs
        if jobs and not (jobs.keys() <= {"chief", "worker"} and jobs[own[0]][own[1]]):
            raise ValueError(f"it has the jobs {', '.join(jobs)}, and only a chief and workers train")
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        where = "TF_CONFIG" if "TF_CONFIG" in os.environ else "SLURM's environment"
        raise UserError(f"{where} makes no sense ({error}); docs/cluster.md shows how it looks") from None
    return jobs, own


def _is_loopback(address):
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _silent(others):
    """Which of the workers take no connection, in words. others: their addresses by number."""
    silent = []
    for i, address in others.items():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), port), timeout=2).close()  # seconds
        except OSError:
            silent.append(f"worker {i} at {address}" if i else f"the chief at {address}")
    return " and ".join(silent)
