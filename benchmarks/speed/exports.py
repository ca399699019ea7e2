"""Measures exported networks: size, start, and speed of each form, beside the session and PyTorch.

    python mnist/export.py && python benchmarks/speed/exports.py exports/mnist/convnet

Each form is asked in a process of its own, one after the other, in rounds. Its start is all from the command to the
first answer: Python, imports, loading, one image. Then it answers one image at a time, and batches of 100. Prints
medians; the spread of the start, too. PyTorch has the same weights, and is also exported by torch.export and to ONNX.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

SINGLE, BATCH, BATCHES = 30, 100, 10  # images one at a time; images at a time, and how often
TOLERANCE = 1e-4  # of a probability: PyTorch's are to be the same network
FORMS = ("saved_model", "model.tflite", "model-float16.tflite", "model-int8.tflite", "model.onnx")
PYTORCH = {"PyTorch, eager": "", "PyTorch, torch.export": "torch.pt2", "PyTorch, its ONNX": "torch.onnx"}


def session(folder, about):
    import importlib

    from common.app import trained
    from common.training import checkpoints, runs

    forward = importlib.import_module(f"{about['task']}.forward")
    checkpoint = checkpoints.named(folder / "checkpoint")
    run = runs.read(checkpoint.parent, forward.NETWORKS)
    return trained.Network(forward.forward, run, checkpoint, "/device:CPU:0").probabilities


def pytorch(folder, about):
    """The network as a torch.nn.Module of images, uint8 [n, height, width, channels]."""
    from benchmarks.speed.peer_steps import problem, pytorch

    import numpy as np
    import torch

    kind = about["network"].partition("_")[0]  # airbench_slim has the layers of airbench
    layers = next(layers for (_, name), (layers, *_) in problem.NETWORKS.items() if name.partition("_")[0] == kind)
    run = json.loads((folder / "run.json").read_text())
    arrays = {name: torch.tensor(array) for name, array in np.load(folder / "weights.npz").items()}
    weights = {n: w.permute(3, 2, 0, 1).contiguous() if w.ndim == 4 else w for n, w in arrays.items()}

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.names = {name: f"weight{i}" for i, name in enumerate(weights)}
            for name, weight in weights.items():
                self.register_buffer(self.names[name], weight)

        def forward(self, images):
            x = (images.float() - torch.tensor(run["image_mean"])) / torch.tensor(run["image_std"])
            own = {name: getattr(self, buffer) for name, buffer in self.names.items()}
            logits = pytorch.forward(x.permute(0, 3, 1, 2), layers, own, train=False)
            return torch.softmax(logits / run["temperature"], dim=1)

    return Network().eval()


def in_pytorch(network):
    import torch

    def ask(images):
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return ask


def asked(kind, folder, work, about):
    """A function of images that gives probabilities."""
    if kind == "session":
        return session(folder, about)
    if kind == "PyTorch, eager":
        return in_pytorch(pytorch(folder, about))
    if kind == "PyTorch, torch.export":
        import torch

        return in_pytorch(torch.export.load(work / PYTORCH[kind]).module())
    if kind == "saved_model":
        from common.app import check

        return check.saved_model(folder / kind)
    from common.app import exported

    return exported.Network(work / PYTORCH[kind] if kind in PYTORCH else folder / kind).probabilities


def prepare(folder, work, about):
    """Exports the network by PyTorch's own means."""
    import torch

    network, batch = pytorch(folder, about), torch.export.Dim("batch", min=1, max=1000)
    example = torch.zeros(2, *about["about"]["image_shape"], dtype=torch.uint8)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: batch},)), work / "torch.pt2")
    torch.onnx.export(
        network, (example,), work / "torch.onnx", input_names=["images"], output_names=["probabilities"],
        dynamic_shapes=({0: batch},),
    )  # fmt: skip


def measure(kind, folder, work, about, begun):
    """What a process measures of itself, begun at that time.time()."""
    import numpy as np

    images = np.load(work / "images.npy")
    ask = asked(kind, folder, work, about)
    answers = ask(images[:1])
    start = time.time() - begun
    singles = []
    for i in range(SINGLE):
        before = time.perf_counter()
        ask(images[i : i + 1])
        singles.append(time.perf_counter() - before)
    answers = ask(images)
    before = time.perf_counter()
    for _ in range(BATCHES):
        ask(images)
    speed = BATCHES * len(images) / (time.perf_counter() - before)
    return {"start": start, "single": statistics.median(singles), "speed": speed, "answers": answers.tolist()}


def on_disk(kind, folder, work):
    """Bytes of all files of a form."""
    if kind in PYTORCH:
        files = work.glob(f"{PYTORCH[kind]}*")  # the weights of an ONNX model are in a file of their own
    else:
        files = [*folder.glob(kind), *(folder / {"session": "checkpoint"}.get(kind, kind)).rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def program(*arguments):
    command = [sys.executable, __file__, *map(str, arguments), "--begun", str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder, rounds):
    import numpy as np

    about = json.loads((folder / "export.json").read_text())
    print(f"\n{about['about']['title']}, {rounds} rounds")
    print(f"  {'':24} {'on disk':>10} {'start':>24} {'an image':>10} {'images/s by 100':>16}")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        images = np.random.default_rng(0).integers(0, 256, [BATCH, *about["about"]["image_shape"]], dtype=np.uint8)
        np.save(work / "images.npy", images)
        program("prepare", folder, work)
        kinds = ["session", *FORMS, *PYTORCH]
        measured = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind in kinds:
                measured[kind].append(program(kind, folder, work))
        expected = np.array(measured["session"][0]["answers"])
        for kind, values in measured.items():
            far = np.abs(np.array(values[0]["answers"]) - expected).max()
            if far > TOLERANCE and not kind.startswith("model-"):
                sys.exit(f"error: {kind} does not answer as the session does: {far:.1e}")
            size = f"{on_disk(kind, folder, work) / 1e3:,.0f} kB" if kind != "PyTorch, eager" else ""
            start, single, speed = ([value[what] for value in values] for what in ("start", "single", "speed"))
            shown = f"{statistics.median(start):.2f} s ({min(start):.2f} to {max(start):.2f})"
            single, speed = statistics.median(single), statistics.median(speed)
            print(f"  {kind:24} {size:>10} {shown:>24} {1000 * single:>7.2f} ms {speed:>16,.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="EXPORT", help="folders that export.py wrote")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)  # in the processes that are measured
    args = parser.parse_args()
    if args.begun:
        kind, folder, work = str(args.folders[0]), *args.folders[1:]
        about = json.loads((folder / "export.json").read_text())
        about["network"] = about["about"]["network"]
        prepared = prepare(folder, work, about) if kind == "prepare" else measure(kind, folder, work, about, args.begun)
        print(json.dumps(prepared))
        return
    from benchmarks import runner

    print(f"{runner.machine()}; commit {', '.join(runner.commit_and_date())}")
    for folder in args.folders:
        compare(folder, args.rounds)


if __name__ == "__main__":
    main()
