"""Who the workers of a cluster are, as TF_CONFIG or SLURM tells, and how they come together.

When one of them dies the others end, too, with START_AGAIN: then all are to be started again.
"""

import contextlib
import ipaddress
import json
import os
import re
import socket
import sys
import time

from common.errors import UserError
from common.training.cluster import ALONE, Cluster, Lost

import tensorflow.compat.v1 as tf

COMING, TOLD = 120, 10  # seconds to wait for the others to come, and until a line tells of it
GOING = 3  # seconds in which the sockets of a process that was killed close, one after the other
FAULTS_OF_OTHERS = (
    tf.errors.DeadlineExceededError, tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
)  # fmt: skip


def is_told():
    """Whether the environment tells of a cluster of several workers. Raises UserError if it makes no sense."""
    jobs, _ = _members()
    return sum(map(len, jobs.values())) > 1


@contextlib.contextmanager
def join(config):
    """The Cluster that the environment tells of, once all its workers have come; ALONE if it tells of none.

    The block ends in all of them at once. config: of the sessions. Raises UserError for an environment that makes no
    sense, and Lost, then or in the block, if a worker does not come or is gone.
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
        raise Lost(f"cannot listen at {addresses[index]}; is another program at work on that port?") from None
    if not all(map(_is_loopback, addresses)):
        port = addresses[index].rpartition(":")[2]
        print(f"who reaches port {port} of this machine controls this program: docs/cluster.md", file=sys.stderr)
    others = {i: address for i, address in enumerate(addresses) if i != index}
    missing, since, told = others, time.monotonic(), False
    while missing := _silent(missing):
        waited = time.monotonic() - since
        if waited > COMING:
            raise Lost(f"{_named(missing)} did not come within {COMING} s; start all workers again")
        if waited > TOLD and not told:
            told = True
            print(f"waiting for {_named(missing)}, {COMING} s at most", file=sys.stderr)
        time.sleep(0.2)
    try:
        workers = Cluster(addresses, index, server.target, config)
        yield workers
        workers.exchange("done")  # the chief has saved and drawn: one that ended before could not start again with it
    except tf.errors.OpError as error:
        if not isinstance(error, FAULTS_OF_OTHERS) and "incarnation" not in str(error):  # of one that started again
            raise
        missing = _named(_gone(others)) or f"a worker, though all are there ({type(error).__name__})"
        raise Lost(f"lost {missing}; start all workers again, and they go on from the last checkpoint") from None


def _members():
    """({job: addresses}, (own job, own number)), the chief's job first; ({}, None) if the environment tells of none.

    Raises UserError for what is not a cluster of a chief and workers.
    """
    if "TF_CONFIG" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) < 2:
        return {}, None
    resolvers = tf.distribute.cluster_resolver
    try:
        if "TF_CONFIG" in os.environ:
            told = json.loads(os.environ["TF_CONFIG"])
            if not isinstance(told, dict) or ("task" in told and "cluster" not in told):
                raise ValueError("it names no cluster")
            resolver = resolvers.TFConfigClusterResolver()
        else:  # one GPU a task at least, or it fails; which one is --device's affair
            resolver = resolvers.SlurmClusterResolver(gpus_per_node=2**16, gpus_per_task=1, auto_set_gpu=False)
        jobs = resolver.cluster_spec().as_dict()
        own = resolver.task_type, resolver.task_id
        jobs = {job: jobs.pop(job) for job in ("chief", "worker") if job in jobs} | jobs
        if jobs and own[0] is None:
            raise ValueError("it names no task")
        if jobs.keys() - {"chief", "worker"} or (jobs and own[1] not in range(len(jobs.get(own[0], ())))):
            raise ValueError(f"it is {own[0]} {own[1]} of {', '.join(jobs)}, and a chief and workers train")
        addresses = [address for job in jobs.values() for address in job]
        for address in addresses if len(addresses) > 1 else []:
            if not re.fullmatch(r"[^:/]+:\d{1,5}|\[.+\]:\d{1,5}", address):
                raise ValueError(f"{address} is not HOST:PORT")
            if addresses.count(address) > 1:
                raise ValueError(f"two workers have the address {address}")
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
    """Those of the workers that take no connection. others: their addresses by number."""
    silent = {}
    for i, address in others.items():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), port), timeout=2).close()  # seconds
        except (OSError, UnicodeError, OverflowError):  # the latter two of what is no name, and no port
            silent[i] = address
    return silent


def _gone(others):
    """Those of the workers that take no connection within GOING seconds, as soon as there are any."""
    since = time.monotonic()
    while not (gone := _silent(others)) and time.monotonic() - since < GOING:
        time.sleep(0.1)
    return gone


def _named(workers):
    return " and ".join(f"{f'worker {i}' if i else 'the chief'} at {address}" for i, address in workers.items())
