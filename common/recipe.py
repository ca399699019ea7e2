"""The recipe of a run, and the command line of the trainers that changes it."""

import dataclasses

from common import command_line, device
from common.command_line import UserError, entry
from common.optimization import INITIALIZERS, LOSSES, OPTIMIZERS, PENALTIES, SCHEDULES


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


LASTING = ("exponential", "staircase")  # schedules that do not depend on the last step
NEEDS = {  # what an entry has an effect with
    "penalty": ("a regularizer above 0", lambda recipe: recipe.regularizer),
    "momentum": ("optimizer=momentum or nesterov", lambda recipe: recipe.optimizer in ("momentum", "nesterov")),
    "learning_rate_decay": ("schedule=exponential or staircase", lambda recipe: recipe.schedule in LASTING),
    "decay_epochs": ("a learning_rate_decay other than 1", lambda recipe: recipe.learning_rate_decay != 1),
}


def arguments(description, recipes, family):
    """What the command line of a trainer asks for; `device` and `recipe` are resolved.

    recipes: by the name of the network, the default first. family: of data sets. Raises UserError for a device that is
    not there or does not compute in the precision, and for an entry of the recipe that is invalid or changes nothing.
    """
    parser = command_line.parser(description, list(recipes), list(family))
    command_line.add_data_dir(parser)
    parser.set_defaults(network=next(iter(recipes)))
    number = command_line.positive(int)
    parser.add_argument("--steps", metavar="N", type=number, help="train up to this step, not by the recipe's epochs")
    parser.add_argument("--seed", metavar="N", type=number, default=1, help="of weights, batches and augmentation (1)")
    parser.add_argument(
        "--precision", choices=device.PRECISIONS, default="float32",
        help="of convolutions and matrix products: float32, the default; bfloat16 on a CPU, float16 on a GPU",
    )
    parser.add_argument("--schedule", choices=SCHEDULES, help="of the learning rate, instead of the recipe's")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change entries of the recipe"
    )
    args = parser.parse_args()
    schedule = [f"schedule={args.schedule}"] if args.schedule else []
    args.recipe = command_line.override(recipes[args.network], args.set + schedule)
    for setting in args.set:
        key = setting.partition("=")[0]
        if key in NEEDS and not NEEDS[key][1](args.recipe):
            raise UserError(f"--set {setting} changes nothing: it needs {NEEDS[key][0]}")
    args.device = device.resolve(args.device)
    device.check_precision(args.precision, args.device)
    return args
