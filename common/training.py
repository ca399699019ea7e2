"""What the trainers share: flags, recipe, evaluations, TensorBoard's summaries, the loop, and the run around it."""

import dataclasses
import signal

from common import batches, checkpoints, command_line, device, evaluation, hooks, runs
from common.command_line import UserError, entry, shown
from common.optimization import INITIALIZERS, LOSSES, OPTIMIZERS, PENALTIES, SCHEDULES

import numpy as np
import tensorflow.compat.v1 as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained; a task adds its augmentation. --set changes single entries."""

    batch_size: int  # images
    epochs: float = entry(above=0)
    loss: str = entry(choices=LOSSES, default="cross_entropy")
    reduction: str = entry(choices=("mean", "sum"), default="mean")  # of the loss, over the batch
    label_smoothing: float = entry(below=1, default=0.0)  # share of the label that is spread over all classes
    penalty: str = entry(choices=PENALTIES, default="l2")  # of the weights: ½Σw² or Σ|w|
    regularizer: float = 0.0  # its factor
    initializer: str = entry(choices=INITIALIZERS, default="own")  # of the weights
    optimizer: str = entry(choices=OPTIMIZERS, default="nesterov")
    momentum: float = entry(below=1, default=0.9)  # of momentum and nesterov
    learning_rate: float  # where the decay starts from
    schedule: str = entry(choices=SCHEDULES, default="exponential")
    learning_rate_decay: float = entry(above=0, default=1.0)  # factor per decay_epochs, of exponential and staircase
    decay_epochs: float = entry(above=0, default=1.0)
    warmup_steps: int = 1  # it first rises over these: large first steps inflate weights that L2 is slow to shrink
    moving_average_decay: float = entry(below=1)  # per step
    save_steps: int  # between checkpoints, and between evaluations
    evaluate: str = entry(choices=("validation", "all"), default="validation")  # all: training and test images too


NEEDS = {  # what an entry has an effect with
    "penalty": ("a regularizer above 0", lambda recipe: recipe.regularizer),
    "momentum": ("optimizer=momentum or nesterov", lambda recipe: recipe.optimizer in ("momentum", "nesterov")),
    "learning_rate_decay": ("schedule=exponential or staircase", lambda recipe: recipe.schedule in LASTING),
    "decay_epochs": ("a learning_rate_decay other than 1", lambda recipe: recipe.learning_rate_decay != 1),
}
LASTING = ("exponential", "staircase")  # schedules that do not depend on the last step


def arguments(description, recipes, family):
    """What the command line of a trainer asks for; `device` and `recipe` are resolved.

    recipes: by the name of the network, the default first. family: of data sets. Raises UserError for a device that is
    not there, and for an entry of the recipe that is invalid or changes nothing.
    """
    parser = command_line.parser(description, list(recipes), list(family))
    command_line.add_data_dir(parser)
    parser.set_defaults(network=next(iter(recipes)))
    number = command_line.positive(int)
    parser.add_argument("--steps", metavar="N", type=number, help="train up to this step, not by the recipe's epochs")
    parser.add_argument("--seed", metavar="N", type=number, default=1, help="of weights, batches and augmentation (1)")
    parser.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate, instead of the recipe's")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change entries of the recipe")
    args = parser.parse_args()
    schedule = [f"schedule={args.schedule}"] if args.schedule else []
    if schedule and any(setting.startswith("schedule=") for setting in args.set):
        raise UserError("--schedule and --set schedule= say the same; give one of them")
    args.recipe = command_line.override(recipes[args.network], args.set + schedule)
    for setting in args.set:
        key = setting.partition("=")[0]
        if key in NEEDS and not NEEDS[key][1](args.recipe):
            raise UserError(f"--set {setting} changes nothing: it needs {NEEDS[key][0]}")
    args.device = device.resolve(args.device)
    return args


def evaluators(forward, record, data, train, ema):
    """Evaluations with the moving averages of the weights, in the graph that trains.

    data: datasets.DataSet. train: its training images, a batches.OnDevice. Returns for hooks.Report and loop(): a dict
    from the name of the images to a function of a session, and what fills the local variables of these images.
    """

    def average(getter, *args, **kwargs):
        variable = getter(*args, **kwargs)
        shadow = ema.average(variable)
        return variable if shadow is None else shadow  # none of a variable that is not trained

    evaluated = {"validation": batches.on_device(data.validation, "validation_data")}
    if record["recipe"]["evaluate"] == "all":
        evaluated |= {"training_set": train, "test": batches.on_device(data.test, "test_data")}
    with tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=average):
        found = {
            name: evaluation.evaluator(split, lambda images: evaluation.logits(forward, record, images), name)
            for name, split in evaluated.items()
        }
    return found, {key: array for split in evaluated.values() for key, array in split.feed.items()}


def summarize(images, data_loss, loss, gradients, learning_rate, ema):
    """Writes for TensorBoard: each term of the loss, raw and averaged; the learning rate; the input; weights, their
    averages, gradients and activations.

    gradients: (gradient, variable) pairs. Returns the operation that averages the losses: run it with each step.
    """
    losses = {"loss/total": loss, "loss/data": data_loss}
    losses |= {f"penalty/{term.op.name}": term for term in tf.get_collection("losses")}
    average = tf.train.ExponentialMovingAverage(0.9, zero_debias=True, name="average")
    averaging = average.apply(list(losses.values()))
    for name, value in losses.items():
        tf.summary.scalar(name, value)
        with tf.control_dependencies([averaging]), tf.name_scope("averaged_losses/"):  # one box in TensorBoard's graph
            averaged = average.average(value).read_value()
        tf.summary.scalar(f"{name}_averaged", averaged)
    tf.summary.scalar("learning_rate", learning_rate)
    tf.summary.image("input", images, max_outputs=8, collections=[hooks.PICTURES])
    for gradient, variable in gradients:
        for kind, value in ("weights", variable), ("averages", ema.average(variable)), ("gradients", gradient):
            tf.summary.histogram(f"{kind}/{variable.op.name}", value, collections=[hooks.PICTURES])
    for activation in tf.get_collection(tf.GraphKeys.ACTIVATIONS):
        name = activation.op.name
        tf.summary.histogram(f"activations/{name}", activation, collections=[hooks.PICTURES])
        if activation.op.type == "Relu":  # others are hardly ever 0
            with tf.name_scope("zero_fractions/"):  # with the slash: the same scope each time
                sparsity = tf.nn.zero_fraction(activation)
            tf.summary.scalar(f"sparsity/{name}", sparsity)
    return averaging


def loop(train_op, watched, evaluators, feed, record, recipe, checkpoint_dir, log_dir, device_name):
    """Runs train_op up to the run's last step, or a signal, from the newest checkpoint if there is one.

    watched, evaluators: as for hooks.Report. feed: what fills the local variables, once. Returns the hooks.Report, and
    the number of the signal that ended it early, or None.
    Raises UserError if the checkpoint does not fit the graph.
    """
    checkpoints.go_on_from(checkpoint_dir, {v.op.name: v for v in tf.global_variables()})
    saver = tf.train.Saver(save_relative_paths=True)
    writer = tf.summary.FileWriter(str(log_dir))
    report = hooks.Report(watched, evaluators, recipe, record["dataset_title"], record["steps"], writer)
    save = hooks.Save(saver, checkpoint_dir, recipe.save_steps)
    last = tf.train.StopAtStepHook(last_step=record["steps"])
    with (
        hooks.StopOnSignal() as stop,
        tf.name_scope("session"),
        tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(checkpoint_dir),
            scaffold=tf.train.Scaffold(
                saver=saver, local_init_op=tf.local_variables_initializer(), local_init_feed_dict=feed
            ),
            config=device.session_config(device_name),
            # Save, Summaries and Report do these: the stock hooks put TensorBoard's files into checkpoint_dir, and
            # write a START event each, of which the second one drops the first scalars.
            save_checkpoint_steps=0,
            save_summaries_steps=0,
            log_step_count_steps=0,
            hooks=[last, report, hooks.Summaries(writer), save, stop],
        ) as session,
    ):
        while not session.should_stop():
            session.run(train_op)
    return report, stop.received if report.step < record["steps"] else None


def run(task, args, data, image_format, backward):
    """Trains by backward() what the flags ask for, in the folder of that run, and prints what came of it.

    args: from arguments(). image_format: the entries image_size, image_mean and image_std of run.json. Returns the exit
    status: 0, or 128 + the number of the signal that ended it. Raises UserError if the folder holds another run, or
    another trainer is at work there.
    """
    recipe = args.recipe
    last_step = args.steps or max(1, round(recipe.epochs * len(data.train.labels) / recipe.batch_size))
    record = {
        "network": args.network,
        "dataset": data.name,
        "dataset_title": data.title,
        "dataset_sha256": data.digest,
        "class_names": data.class_names,
        **image_format,
        "recipe": dataclasses.asdict(recipe),
        "seed": args.seed,
        "steps": last_step,
        "versions": {"tensorflow": tf.__version__, "numpy": np.__version__},
    }
    checkpoint_dir = runs.folder(args.checkpoint_dir, task, args.network, data.name)
    log_dir = runs.folder(args.log_dir, task, args.network, data.name) / "train"
    log_dir.mkdir(parents=True, exist_ok=True)
    title = f"{args.network} on {data.title}"
    with runs.lock(checkpoint_dir):
        may_grow = recipe.schedule in LASTING  # the others end at a step that was fixed at the start
        runs.start(checkpoint_dir, record, may_grow)
        done = checkpoints.step(checkpoints.latest(checkpoint_dir))
        if done >= last_step:
            more = "; --steps N trains on" if may_grow else ""
            print(f"{title}: at step {done} already, in {shown(checkpoint_dir)}{more}")
            return 0
        print(f"{title}: step {done} to {last_step}", flush=True)
        report, stopped_by = backward(record, recipe, data, checkpoint_dir, log_dir, args.device)
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} at step {report.step} of {last_step}; the same command goes on from there")
    print(
        f"{title}: validation accuracy {report.validation_accuracy:.4f} (EMA) at step {report.step}, "
        f"{report.seconds:.0f} s of training"
    )
    from common import plots  # matplotlib, which takes a second to import, is not needed before

    print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
    print(f"curves      {shown(plots.curves(log_dir, title))}", flush=True)
    return 128 + stopped_by if stopped_by else 0
