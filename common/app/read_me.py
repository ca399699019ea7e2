"""The README.md beside an export: what it is, and how other programs call it."""

ONNX = """
### ONNX Runtime

```python
import numpy as np, onnxruntime  # pip install onnxruntime
network = onnxruntime.InferenceSession("model.onnx")
images = np.zeros([1, {shape}], np.uint8)  # your pixels, 0 to 255
probabilities, class_index = network.run(["probabilities", "class_index"], {{"images": images}})
print(open("labels.txt", encoding="utf-8").read().splitlines()[class_index[0]], probabilities[0].max())
```
"""
TFLITE = """
### LiteRT (TensorFlow Lite)

```python
import numpy as np  # pip install ai-edge-litert
from ai_edge_litert.interpreter import Interpreter
network = Interpreter("{file}").get_signature_runner("serving_default")
answer = network(images=np.zeros([1, {shape}], np.uint8))  # your pixels, 0 to 255
print(open("labels.txt", encoding="utf-8").read().splitlines()[answer["class_index"][0]], answer["probabilities"].max())
```
"""
SAVED_MODEL = """
### TensorFlow Serving

```
docker run -p 8501:8501 -v "$PWD/saved_model:/models/{network}" -e MODEL_NAME={network} tensorflow/serving
python -c "import json; print(json.dumps({{'instances': [{pixels}]}}))" > image.json
curl -d @image.json http://localhost:8501/v1/models/{network}:predict
```

`instances` are images of whole numbers, 0 to 255. In Python: `tf.saved_model.load("saved_model/1")`.
{photos}"""
PHOTOS = """
The signature `bytes` takes whole JPEG, PNG, GIF or BMP files instead:

```
echo '{{"signature_name": "bytes", "instances": [{{"b64": "'$(base64 -w0 photo.jpg)'"}}]}}' > photo.json
curl -d @photo.json http://localhost:8501/v1/models/{network}:predict
```
"""
WEIGHTS = """
### The weights alone
{lines}"""
EACH = {
    "weights.npz": '`weights.npz`: `np.load("weights.npz")["NAME"]`, a plain array for each variable. In the kit,\n'
    "  `{task}/app.py --checkpoint weights.npz` asks it, and `{task}/backward.py --start-from weights.npz` trains on.",
    "weights.npy": '`weights.npy`: `np.load("weights.npy", allow_pickle=True).item()`, one dict of the same arrays.\n'
    "  A dict is no array, so NumPy pickles it: load such a file only if you trust who made it.",
    "weights.txt": "`weights.txt`: for each variable a line with name, type and shape, and a line with its values.",
    "checkpoint": "`checkpoint/`: a checkpoint of TensorFlow and its `run.json`. In the kit,\n"
    "  `{task}/app.py --checkpoint checkpoint` asks it.",
    "checkpoint-float16": "`checkpoint-float16/`: such a checkpoint in float16, of half the size.",
}


def text(export, note):
    """The README.md of an exported.Export. note: on its input."""
    about, forms = export.about, export.forms
    height, width, channels = about.image_shape
    words = {
        "shape": f"{height}, {width}, {channels}",
        "network": about.network,
        "task": export.task,
        "file": next((name for name in forms if name.endswith(".tflite")), ""),
        "pixels": f"[[{[0] * channels}] * {width}] * {height}",
    }
    colour = "grey" if channels == 1 else "red, green, blue"
    kind = "moving averages of the weights" if export.weights == "averaged" else "the weights themselves"
    rows = "\n".join(
        f"| `{name}` | {check.bytes / 1e3:,.0f} kB | {check.difference:.1e} | {check.same:.2%} | {check.accuracy:.2%} |"
        for name, check in forms.items()
    )
    names = ", ".join(about.class_names[:100])
    more = "" if len(about.class_names) <= 100 else f", … ({len(about.class_names):,} in all)"
    result = f"""# {about.title}

A network that tells {len(about.class_names):,} classes apart, at step {export.step:,} of its training: {kind}.
It was right on {export.accuracy:.2%} of {export.images:,} test images of {export.dataset_title}.

- **Input** `images`: uint8 [n, {words["shape"]}], any n, {colour}, 0 to 255. The network scales them itself.
- **Output**: `probabilities`, float32 [n, {len(about.class_names)}], and `class_index`, int32 [n].
- **Classes**, from 0 on: {names}{more}. `labels.txt` has one a line.
{note}
| file | size | largest difference of a probability | same answer | test accuracy |
| --- | --- | --- | --- | --- |
{rows}

Each was loaded in a program of its own, and answered all test images. The differences are from the session that it was
exported from.

## How to call it
"""
    if "model.onnx" in forms:
        result += ONNX.format(**words)
    if words["file"]:
        result += TFLITE.format(**words)
    if "saved_model" in forms:
        photos = PHOTOS.format(**words) if channels == 3 else ""
        result += SAVED_MODEL.format(photos=photos, **words)
    if lines := [f"\n- {line.format(**words)}" for name, line in EACH.items() if name in forms]:
        result += WEIGHTS.format(lines="".join(lines)) + "\n"
    return result
