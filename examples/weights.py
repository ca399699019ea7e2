"""Other people's weights: a file that may hold anything is read without running it, and must fit the graph.

Many networks of the time of TensorFlow 1 came as a pickled dict, from a layer's name to [weights, biases]. A pickle may
run any program when it is read. So this unpickler knows NumPy's arrays, and nothing else. The graph then says which
names and shapes must be there. Prints what a layer gives with weights from such a file. Then it prints what is said of
four other files: one was cut, one is a page that a browser saved, one would run a program, and one has weights that
don't fit.
"""

import hashlib
import io
import pickle
import pickletools
import re
import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)
from common.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

MOST_OBJECTS = 100_000  # that a pickle numbers: VGG16 has a few hundred


class Dtype:
    """What becomes of a numpy.dtype."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        self.order = state[1]  # of the bytes


class Array:
    """What becomes of a numpy.ndarray. value: an array of floats, or a list of objects."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        *_, shape, dtype, by_columns, self.value = state
        if dtype.code in ("f2", "f4", "f8"):
            data = self.value.encode("latin1") if isinstance(self.value, str) else self.value  # str: of Python 2
            array = np.frombuffer(data, np.dtype(dtype.code).newbyteorder(dtype.order))
            self.value = array.reshape(shape, order="F" if by_columns else "C")
        elif not dtype.code.startswith("O"):
            raise UserError(f"holds an array of the type {dtype.code}, not of floats")


class Unpickler(pickle.Unpickler):
    ALLOWED = {
        "numpy.core.multiarray._reconstruct": Array,
        "numpy._core.multiarray._reconstruct": Array,  # since NumPy 2
        "numpy.ndarray": Array,
        "numpy.dtype": Dtype,
    }

    def find_class(self, module, name):
        if f"{module}.{name}" not in self.ALLOWED:
            raise UserError(f"asks for {module}.{name}, but may hold NumPy's arrays alone; do not trust it")
        return self.ALLOWED[f"{module}.{name}"]


def read(path, sha1=""):
    """The weights in a file: a dict from names of variables to arrays of floats. Runs nothing that the file says.

    sha1: of the usual file; then prints whether it is that. Raises UserError for a file that is damaged, or another.
    """
    content = Path(path).read_bytes()
    file, instead = io.BytesIO(content), f"bring the file with the SHA-1 {sha1}" if sha1 else "bring the whole file"
    if content[:99].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        raise UserError(f"{path} is a page of the web, saved under this name; {instead}")
    try:
        if content.startswith(np.lib.format.MAGIC_PREFIX):  # then a pickle follows: an array of one object, the dict
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        for operation, argument, _ in pickletools.genops(file):  # compares what is said with what is there, as well
            if "PUT" in operation.name and argument > MOST_OBJECTS:
                raise ValueError("of a few bytes all memory would be taken")
        file.seek(start)
        held = Unpickler(file, encoding="latin1").load()
        held = held.value[0] if isinstance(held, Array) else held
        found = {}
        for name, (weights, biases) in held.items():
            found |= {f"{name}/weights": weights.value, f"{name}/biases": biases.value}
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    except Exception as error:  # a damaged pickle raises whatever there is
        cut = re.search("exhausted|not enough|remain|EOF", str(error))  # pickletools and NumPy tell it so
        told = "is cut short" if cut else "is damaged, or no dict from names to [weights, biases]"
        raise UserError(f"{path} {told} ({len(content):,} bytes); {instead}") from None
    if sha1:
        own = hashlib.sha1(content).hexdigest()
        print(f"{Path(path).name} is {'the usual file' if own == sha1 else f'another file than usual, SHA-1 {own}'}")
    return found


def restore(path, session, sha1=""):
    """Gives the variables of the graph what a file holds; see read(). Raises UserError where names or shapes differ."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    found = read(path, sha1)
    wrong = [f"has no {name}" for name in variables if name not in found]
    wrong += [f"has {name}, which the network has not" for name in found if name not in variables]
    for name, variable in variables.items():
        if name in found and np.shape(found[name]) != variable.shape:
            wrong.append(f"has {name} of the shape {np.shape(found[name])}, not {tuple(variable.shape.as_list())}")
    if wrong:
        more = f", and {len(wrong) - 1} more do not fit" if wrong[1:] else ""
        raise UserError(f"{path} {wrong[0]}{more}; bring the weights of this network")
    for name, variable in variables.items():
        variable.load(found.pop(name), session)


class Program:
    def __reduce__(self):
        return exec, ("print('the file runs a program')",)


def main():
    weights, biases = np.array([[1, 2], [3, 4]], np.float32), np.array([0.5, -0.5], np.float32)
    layer = {"fc": [weights, biases]}
    with tempfile.TemporaryDirectory() as folder, tf.Session() as session:
        with tf.variable_scope("fc"):
            y = tf.matmul([[1.0, 1.0]], tf.get_variable("weights", [2, 2])) + tf.get_variable("biases", [2])
        file = Path(folder) / "weights.npy"
        np.save(file, layer)  # as an array of one object
        restore(file, session)
        print("[1, 1] · weights + biases:", session.run(y))

        whole = file.read_bytes()
        page = b"<!DOCTYPE html><title>Sign in to download</title>"
        for content in (
            whole[:-20], page, pickle.dumps(layer | {"fc2": Program()}), pickle.dumps({"fc": [weights.T[:1], biases]}),
        ):  # fmt: skip
            file.write_bytes(content)
            try:
                restore(file, session)
            except UserError as error:
                print("error:", str(error).replace(str(file), file.name))


if __name__ == "__main__":
    main()
