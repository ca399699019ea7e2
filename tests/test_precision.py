"""The precision in which a network trains: what auto takes, what a run keeps, and what is computed in it."""

import dataclasses

import cifar10.backward
import cifar10.forward
from common.data import datasets
from common.graph import device, optimization
from common.training import runs
from mnist import backward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import CPU, folders
from helpers import slow_but, train


@pytest.mark.parametrize("network", slow_but(["softmax"], ["softmax", "airbench_slim"]))
def test_a_run_computes_in_its_precision(tiny, tiny_shapes, tmp_path, monkeypatch, network):
    optimizer, asked = optimization.optimizer, []
    monkeypatch.setattr(optimization, "optimizer", lambda *args: asked.append(args[-1]) or optimizer(*args))
    config, graphs = device.session_config, []
    monkeypatch.setattr(device, "session_config", lambda *args: graphs.append(tf.get_default_graph()) or config(*args))
    if network == "softmax":
        train(tmp_path, tiny, 1, network, precision="bfloat16")
    else:
        recipe = dataclasses.replace(cifar10.forward.NETWORKS[network].RECIPE, batch_size=8)
        conftest.train(cifar10.backward, tmp_path, tiny_shapes, recipe, 1, network, precision="bfloat16")
    [graph] = graphs
    products = [op for op in graph.get_operations() if op.type in ("Conv2D", "Conv2DBackpropFilter", "MatMul")]
    assert asked == ["bfloat16"] and {op.outputs[0].dtype for op in products} == {tf.bfloat16}
    with graph.as_default():
        assert {v.dtype.base_dtype for v in tf.trainable_variables()} == {tf.float32}


@pytest.mark.skipif(not device.Path("/proc/cpuinfo").exists(), reason="only Linux says there what a CPU has")
def test_bfloat16_is_warned_of_on_a_cpu_without_instructions_for_it(monkeypatch, capsys):
    for flags, warned in (("avx2 avx512f", True), ("avx512_bf16", False), ("amx_bf16", False)):
        monkeypatch.setattr(device.Path, "read_text", lambda path, flags=flags: f"flags : {flags}")
        device.check_precision("bfloat16", [CPU])
        assert ("float32 is faster" in capsys.readouterr().err) == warned


@pytest.mark.parametrize("words", ["amx_bf16 GenuineIntel", "avx512_bf16 AuthenticAMD"])
def test_bfloat16_is_the_default_on_a_cpu_that_is_faster_in_it(monkeypatch, words):
    monkeypatch.setattr(device, "cpu_words", lambda: {*words.split()})
    assert device.default_precision([CPU]) == "bfloat16"
    for name, value in ("TF_ENABLE_ONEDNN_OPTS", "0"), ("ONEDNN_MAX_CPU_ISA", "AVX2"):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert device.default_precision([CPU]) == "float32"
    assert device.default_precision([CPU, "/device:GPU:0"]) == "float32"


@pytest.mark.parametrize("words", ["avx512_bf16 GenuineIntel", "avx512f AuthenticAMD", ""])  # the last: not on Linux
def test_float32_is_the_default_on_other_cpus(monkeypatch, words):
    monkeypatch.setattr(device, "cpu_words", lambda: {*words.split()})
    assert device.default_precision([CPU]) == "float32"


@pytest.mark.slow
def test_bfloat16_trains_nearly_the_same_float32_variables(tiny, tmp_path):
    exact, rough = (train(tmp_path / p, tiny, 4, "lenet5", precision=p) for p in ("float32", "bfloat16"))
    for name, values in exact.items():
        assert rough[name].dtype == values.dtype
        np.testing.assert_allclose(rough[name], values, atol=0.02, err_msg=name)
    assert any((rough[name] != values).any() for name, values in exact.items() if "weights" in name)


def test_precision_of_another_device_is_an_error(call, tmp_path):
    status, _, err = call(backward.main, *folders(tmp_path), "--device", "cpu", "--precision", "float16")
    assert status == 1 and err == (
        "error: float16 needs a GPU, and this would run on /device:CPU:0; choose another --device, or another "
        "--precision in a new folder\n"
    )


@pytest.mark.parametrize("precisions", [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_auto_takes_the_default_precision_and_a_run_keeps_its_own(call, tiny, tmp_path, monkeypatch, precisions):
    first, other = precisions
    monkeypatch.setitem(datasets.MNIST, "mnist", lambda data_dir: tiny._replace(name="mnist"))
    flags = [*folders(tmp_path), "--device", "cpu", "--network", "softmax", "--dataset", "mnist"]
    flags += ["--set", "batch_size=20"]
    for steps, default in enumerate(precisions, start=1):
        monkeypatch.setattr(device, "default_precision", lambda devices, default=default: default)
        with tf.Graph().as_default():
            status, out, _ = call(backward.main, *flags, "--steps", steps)
        assert status == 0 and out.startswith(f"softmax on generated digits: step {steps - 1} to {steps}, {first}\n")
    assert runs.read(tmp_path / "checkpoints/mnist/softmax").precision == first
    status, _, err = call(backward.main, *flags, "--precision", other)
    assert status == 1 and f"precision is '{first}' there and '{other}' here" in err
    assert "without --precision it keeps its own" in err
