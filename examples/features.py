"""Features of other people's network: photos become 512 numbers each, from which a softmax regression learns.

    python examples/features.py my_photos/     # Your pictures: sub-folders, a table or TFRecords.
    python examples/features.py                # Drawn shapes, about ten of each class to train on.

SqueezeNet learnt to tell ImageNet's 1,000 classes apart. What it computes before its last layer tells others apart,
too: 512 channels, of which the mean over the picture is taken. Any tensor of a graph can be fetched by its name, so the
network stays as it is, and so do its weights. Only a layer of 512 weights a class is trained, in a second graph. Prints
the accuracy on validation and test pictures. docs/own-pictures.md says when this is better than training a network.
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, graph_mode  # noqa: F401 (before tensorflow)
from common.data import datasets, generated, packing
from common.training import evaluation
from examples import vgg16, weights

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

NETWORK = vgg16.NETWORKS["squeezenet"]
BATCH, STEPS, RATE, DECAY = 32, 500, 0.01, 0.01  # the decay was chosen on validation photos of clothes


def own(source, data_dir):
    """The names of the classes, and Splits of the middle squares of pictures, which are packed and split once."""
    def read(image):
        return vgg16.square(image, NETWORK)[None, None]

    data = datasets.packed(packing.pack(source, data_dir, "middle square", read, NETWORK.side), in_memory=0)
    return data.class_names, [data.train, data.validation, data.test]


def drawn():
    images, labels = generated.shapes(300, seed=1)
    large = np.stack([vgg16.square(Image.fromarray(image), NETWORK) for image in images])
    return generated.SHAPES, [datasets.Split(large[i : i + 100], labels[i : i + 100]) for i in (0, 100, 200)]


def features(splits):
    """What SqueezeNet sees in the images of Splits: of each Split float32 [n, 512]."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images, _ = vgg16.graph_of(NETWORK)
        pooled = tf.reduce_mean(graph.get_tensor_by_name("features:0"), axis=[1, 2])
        weights.restore(vgg16.packaged(), session, NETWORK.sha1)
        found = []
        for split in splits:
            batches = [split.images[start : start + BATCH] for start in range(0, len(split.labels), BATCH)]
            found.append(np.concatenate([session.run(pooled, {images: batch}) for batch in batches]))
        return found


def learn(found, splits, classes, seed):
    """Trains on the features of the first Split. Returns an Evaluation of each of the others."""
    mean, std = found[0].mean(axis=0), found[0].std(axis=0) + 1e-3
    with tf.Graph().as_default(), tf.Session() as session:
        x, labels = tf.placeholder(tf.float32, [None, len(mean)]), tf.placeholder(tf.int32, [None])
        w = tf.get_variable("w", initializer=tf.truncated_normal([len(mean), classes], stddev=0.01, seed=seed))
        b = tf.get_variable("b", initializer=tf.zeros([classes]))
        logits = tf.matmul((x - mean) / std, w) + b
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.reduce_mean(entropy) + DECAY * tf.nn.l2_loss(w)
        train_step = tf.train.AdamOptimizer(RATE).minimize(loss)
        y = tf.nn.softmax(logits)
        session.run(tf.global_variables_initializer())
        for _ in range(STEPS):
            session.run(train_step, {x: found[0], labels: splits[0].labels})
        return [
            evaluation.Evaluation(session.run(y, {x: each}), split.labels)
            for each, split in zip(found[1:], splits[1:], strict=True)
        ]


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="?", metavar="FOLDER", help="pictures of your own")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    class_names, splits = own(args.pictures, args.data_dir) if args.pictures else drawn()
    print("{:,} pictures to train on, {:,} to validate, {:,} to test".format(*[len(split.labels) for split in splits]))
    validation, test = learn(features(splits), splits, len(class_names), seed=1)
    print("validation:", validation.text)
    print("test:      ", test.text)


if __name__ == "__main__":
    command_line.run(main)
