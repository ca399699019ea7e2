"""TensorBoard's projector: images as points, placed by what the last layer of a network is given of them."""

from common.errors import writing
from common.graph import device
from common.training import evaluation, restoring

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

COUNT = 1000  # images: more make the page slow
BATCH_SIZE = 100  # images a run of the graph
LARGEST = 64  # pixels of a thumbnail, both ways: a browser takes 8,192 for all of them beside each other


def write(log_dir, name, images, points, result, class_names):
    """Writes what the page shows to log_dir, in place of what an earlier test wrote.

    name: of the points. images: uint8 [n, height, width, channels]. points: float32 [n, features]. result:
    evaluation.Evaluation, whose first n rows are those images. Raises UserError where writing fails.
    """
    labels, answers = result.labels[: len(images)], result.predictions[: len(images)]
    rows = ["label\tanswer\twrong\tprobability"]  # all numbers where the labels are: the page writes the first text
    for label, answer, probabilities in zip(labels, answers, result.probabilities, strict=False):
        wrong = int(label != answer)
        rows.append(f"{class_names[label]}\t{class_names[answer]}\t{wrong}\t{probabilities[answer]:.3f}")
    thumbnails = images[:, :: -(-images.shape[1] // LARGEST), :: -(-images.shape[2] // LARGEST)]
    config = ProjectorConfig()
    shown = config.embeddings.add(
        tensor_name=name, tensor_path="projector/activations.tsv", metadata_path="projector/metadata.tsv"
    )
    shown.sprite.image_path = "projector/images.png"
    shown.sprite.single_image_dim.extend(thumbnails.shape[2:0:-1])
    folder = log_dir / "projector"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / "activations.tsv", points, "%.6g", "\t")
        (folder / "metadata.tsv").write_text("\n".join(rows) + "\n", "utf-8")
        Image.fromarray(_side_by_side(thumbnails)).save(folder / "images.png")
        (log_dir / "projector_config.pbtxt").write_text(str(config))


def activations(forward, run, images, path, device_name, raw=False):
    """What the last layer of a network is given of images, float32 [n, features], with the weights of a checkpoint.

    forward: the task's. run: runs.Run. images: uint8 [n, height, width, channels]. path: of the checkpoint. raw: the
    weights themselves, not their moving averages. Raises what restoring.restore() raises.
    """
    with tf.Graph().as_default() as graph, tf.device(device_name):
        batch = tf.placeholder(tf.float32, [None, *images.shape[1:]])
        evaluation.logits(forward, run, batch)
        last = [operation for operation in graph.get_operations() if operation.type == "MatMul"][-1]
        variables = restoring.averages(run, raw)
        saver = tf.train.Saver(variables)
        with tf.Session(config=device.session_config([device_name])) as session:
            restoring.restore(session, saver, variables, path)
            starts = range(0, len(images), BATCH_SIZE)
            parts = [session.run(last.inputs[0], {batch: images[i : i + BATCH_SIZE]}) for i in starts]
    return np.concatenate(parts)


def _side_by_side(images):
    """All images as one, row by row, in a square: [height, width, channels], without channels if it has only one."""
    side = int(np.ceil(len(images) ** 0.5))
    count, height, width, channels = images.shape
    square = np.zeros([side * side, height, width, channels], np.uint8)
    square[:count] = images
    rows = square.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return rows.reshape(side * height, side * width, channels).squeeze()
