"""examples/weights.py: files of weights of others are read as NumPy reads them, run nothing, and fit or are refused."""

import os
import pickle

from common.errors import UserError
from examples import weights

import numpy as np
import pytest
import tensorflow.compat.v1 as tf


def fc(w=((1, 2), (3, 4)), b=(0.5, -0.5), kind=np.float32):
    return [np.array(w, kind), np.array(b, kind)]


def pair():
    """A layer with the variables fc/weights and fc/biases."""
    with tf.variable_scope("fc"):
        return tf.get_variable("weights", [2, 2]), tf.get_variable("biases", [2])


class Python2(pickle._Pickler):
    """Writes as Python 2 did: what is text or bytes in Python 3 are its strings."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode()
        self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python_2(held, file):
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, {"descr": "|O", "fortran_order": False, "shape": ()})
        Python2(opened, 2).dump(np.array(held, object))


@pytest.mark.parametrize("write", [
    lambda held, file: np.save(file, held),
    lambda held, file: file.write_bytes(pickle.dumps(held)),
    lambda held, file: file.write_bytes(pickle.dumps(held, 3).replace(b"numpy._core", b"numpy.core")),
    python_2,
])  # fmt: skip
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
def test_weights_are_read_as_numpy_reads_them(write, kind, tmp_path):
    high = np.float32(np.arange(300).reshape(20, 15)) * 1.7  # bytes above 127, and line breaks
    held = {"fc": fc(np.asfortranarray(high), kind=kind), "a/b": [high.astype(kind).T, np.ones(3, kind)]}
    write(held, tmp_path / "weights.npy")
    found = weights.read(tmp_path / "weights.npy")
    assert list(found) == ["fc/weights", "fc/biases", "a/b/weights", "a/b/biases"]
    for array, expected in zip(found.values(), [*held["fc"], *held["a/b"]], strict=True):
        np.testing.assert_array_equal(array, expected)


class Runs:
    def __init__(self, *calls):
        self.calls = calls

    def __reduce__(self):
        return self.calls


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", [
    lambda evil: evil, lambda evil: {"fc": fc(), "fc2": evil}, lambda evil: {"fc": [np.array([evil]), fc()[1]]},
])  # fmt: skip
def test_a_pickle_that_runs_a_program_is_told_and_runs_nothing(place, protocol, tmp_path):
    mark = tmp_path / "was here"
    for evil in (
        Runs(os.mkdir, (str(mark),)),
        Runs(eval, (f"__import__('os').mkdir({str(mark)!r})",)),
        Runs(np.save, (f"{mark}", [1])),
        Runs(np.dtype, ("f4", Runs(os.mkdir, (str(mark),)))),
    ):
        (tmp_path / "weights.npy").write_bytes(pickle.dumps(place(evil), protocol))
        with pytest.raises(UserError, match="weights.npy asks for .*do not trust it") as error:
            weights.read(tmp_path / "weights.npy")
        assert "\n" not in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["weights.npy"]


def test_what_is_no_file_of_weights_is_told_in_one_line(tmp_path):
    file = tmp_path / "weights.npy"
    np.save(file, {"fc": fc()})
    whole = file.read_bytes()
    np.save(file, np.ones(3, np.float32))
    array = file.read_bytes()
    contents = {
        b"<!DOCTYPE html><p>a page": "page of the web",
        b"\xef\xbb\xbf\r\n <html>": "page of the web",
        b"": "cut short",
        b"version https://git-lfs.github.com/spec/v1\n": "damaged",
        array: "damaged",
        b"\x80\x02]r\x00\x00\x00\x7f.": "damaged",  # a memo of two thousand million places
        b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00abc.": "cut short",  # a byte array of 4 GB
        pickle.dumps([1, 2]): "damaged",
        pickle.dumps({"fc": 1}): "damaged",
        pickle.dumps({"fc": fc() * 2}): "damaged",
        pickle.dumps({"fc": fc(kind="i4")}): "type i4, not of floats",
        whole.replace(b"f4", b"f4,O"): "damaged",
    }
    contents |= {whole[:length]: "cut short" for length in range(1, len(whole))}
    contents |= {whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]: None for at in range(len(whole) - 40)}
    for content, told in contents.items():
        file.write_bytes(content)
        try:
            weights.read(file)
        except UserError as error:
            assert str(error).startswith(str(file)) and (told or "") in str(error), content
        else:
            assert told is None  # a number of an array or a letter of a name was changed


@pytest.mark.parametrize(("held", "told"), [
    ({"fc": fc(), "fc2": fc()}, "has fc2/weights, which the network has not, and 1 more do not fit"),
    ({"fc1": fc()}, "has no fc/weights, and 3 more do not fit"),
    ({"fc": fc(w=[[1, 2]])}, r"has fc/weights of the shape \(1, 2\), not \(2, 2\); bring"),
    ({"fc": fc(b=5)}, r"has fc/biases of the shape \(\), not \(2,\); bring"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_told_before_any_is_taken(held, told, tmp_path):
    w, _ = pair()
    np.save(tmp_path / "weights.npy", held)
    with tf.Session() as session:
        with pytest.raises(UserError, match=told):
            weights.restore(tmp_path / "weights.npy", session)
        assert not session.run(tf.is_variable_initialized(w))
