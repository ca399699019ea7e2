"""Who the workers are, as TF_CONFIG or Slurm tells; who does not come, and ports that are taken."""

import hashlib
import os
import socket
import threading

from common.errors import UserError
from common.graph import device
from common.training import agreement, cluster, launch, members
from mnist import backward

import pytest
from conftest import CPU
from helpers import RUN
from test_cluster import told


@pytest.fixture
def joined(monkeypatch):
    """joined(*addresses, index=0) enters a cluster in this process."""

    def joined(*addresses, index=0):
        monkeypatch.setenv("TF_CONFIG", told(list(addresses), index))
        with members.join(device.session_config([CPU])) as workers:
            return workers

    return joined


def test_an_editors_lock_among_the_sources_is_no_program(monkeypatch, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist/.#convnet.py").symlink_to("me@host.1")
    monkeypatch.setattr(agreement, "ROOT", tmp_path)
    assert agreement.what_all_share(RUN)["program"] == hashlib.sha256().hexdigest()[:12]


def test_a_worker_that_never_comes_is_told_by_address(call, monkeypatch, tmp_path, tiny):
    monkeypatch.setattr(members, "COMING", 0.5)
    monkeypatch.setattr(members, "TOLD", 0.1)
    monkeypatch.setattr(backward.arguments, "load", lambda args, networks, *rest: _loaded(args, networks, tiny))
    mine, absent = launch.free_ports(2)
    monkeypatch.setenv("TF_CONFIG", told([f"127.0.0.1:{mine}", f"127.0.0.1:{absent}"], 0))
    status, out, err = call(backward.main, "--checkpoint-dir", tmp_path, "--network", "softmax")
    assert (status, out) == (75, "")
    who = f"worker 1 at 127.0.0.1:{absent}"
    assert err == (
        f"waiting for {who}, 0.5 s at most\nerror: {who} did not come within 0.5 s; start all workers again\n"
    )


def _loaded(args, networks, data):
    args.recipe = networks[args.network].RECIPE
    return data


def test_a_worker_whose_port_closes_a_little_later_is_gone(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as going:
        others = {i: "{}:{}".format(*one.getsockname()) for i, one in enumerate((there, going))}
        closing = threading.Timer(0.4, going.close)
        closing.start()
        assert members._gone(others) == {1: others[1]}
        closing.join()
        monkeypatch.setattr(members, "GOING", 0.3)
        assert members._gone({0: others[0]}) == {}


def test_a_port_that_is_taken_is_named(joined):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"cannot listen at {address}"):
            joined(address, "127.0.0.1:1")


def test_addresses_beyond_this_machine_are_told_of(joined, monkeypatch, capsys):
    monkeypatch.setattr(members, "COMING", 0)
    monkeypatch.setattr(members, "_silent", lambda others: others)
    [port] = launch.free_ports(1)
    with pytest.raises(cluster.Lost):
        joined(f"0.0.0.0:{port}", "192.0.2.1:1")  # RFC 5737: nobody's; nothing is sent
    assert f"who reaches port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    ["{", '{"cluster": {"worker": ["a:1", "b:1"]}}', '{"cluster": {"worker": 3}, "task": {"type": "worker"}}',
     '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
     '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "evaluator", "index": 0}}',
     '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 1}}',
     '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": -1}}',
     '{"clusters": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', "[]", '"worker"',
     '{"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 0}}',
     '{"cluster": {"worker": ["grpc://a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}',
     '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}'],
)  # fmt: skip
def test_a_cluster_that_makes_no_sense_is_one_line(monkeypatch, words):
    monkeypatch.setenv("TF_CONFIG", words)
    with pytest.raises(UserError, match="TF_CONFIG makes no sense .*docs/cluster.md"):
        members._members()


def test_slurm_tells_who_is_there(monkeypatch):
    for name, value in {
        "PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "node[1-2]", "STEP_TASKS_PER_NODE": "2,1"
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert members._members() == ({"worker": ["node1:8888", "node1:8889", "node2:8888"]}, ("worker", 2))
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert members._members() == ({}, None)


@pytest.mark.parametrize("words", ["{}", '{"environment": "cloud"}', '{"cluster": {}}'])
def test_a_configuration_without_workers_is_a_process_alone(monkeypatch, words):
    monkeypatch.setenv("TF_CONFIG", words)
    assert not members.is_told()


def test_what_is_no_name_of_a_machine_does_not_answer():
    odd = {0: "10.0..1:2222", 1: "127.0.0.1:99999", 2: "[::1]:1"}
    assert members._silent(odd) == odd
