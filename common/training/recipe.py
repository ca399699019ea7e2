"""The recipe of a network: how it is trained, entry by entry, each with what it means and its limits.

msgspec checks by these types both what --set changes and what run.json holds.
"""

import dataclasses
import typing
from typing import Annotated, Literal

from common.errors import UserError
from common.graph.augmentation import EDGES
from common.graph.optimization import INITIALIZERS, LOSSES, OPTIMIZERS, PENALTIES, SCHEDULES

import msgspec
from msgspec import Meta


def whole(meaning, least=1, below=2**31):
    """The type of an entry that is a whole number. meaning: for --help."""
    return Annotated[int, Meta(ge=least, lt=below, description=meaning)]


def number(meaning, positive=False, below=2**31):
    """The type of an entry that is a number of 0 or more, or above 0."""
    return Annotated[float, Meta(**{"gt" if positive else "ge": 0}, lt=below, description=meaning)]


def choice(meaning, names):
    """The type of an entry that is one of some names."""
    return Annotated[Literal[tuple(names)], Meta(description=meaning)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the recipes of both tasks have; --set changes single entries."""

    batch_size: whole("images a step")
    epochs: number("passes over the training images", positive=True)
    loss: choice("of the logits", LOSSES) = "cross_entropy"
    reduction: choice("of the loss, over the batch", ("mean", "sum")) = "mean"
    class_weights: choice("of the loss; balanced: each class counts the same", ("none", "balanced")) = "none"
    label_smoothing: number("share of a label that is spread over all classes", below=1) = 0.0
    penalty: choice("of the weights: ½Σw² or Σ|w|", PENALTIES) = "l2"
    regularizer: number("factor of the penalty") = 0.0
    initializer: choice("of the weights; own: the network's", INITIALIZERS) = "own"
    optimizer: choice("what applies the gradients", OPTIMIZERS) = "nesterov"
    momentum: number("of momentum and nesterov", below=1) = 0.9
    learning_rate: number("where the decay starts from")
    schedule: choice("of the learning rate", SCHEDULES) = "exponential"
    learning_rate_decay: number("factor per decay_epochs, of exponential and staircase", positive=True) = 1.0
    decay_epochs: number("epochs for one such factor", positive=True) = 1.0
    # Large first steps inflate weights that L2 is slow to shrink.
    warmup_steps: whole("steps in which the rate first rises") = 1
    moving_average_decay: number("of the weights' averages (EMA), per step", below=1)
    save_steps: whole("steps between checkpoints, and between evaluations")
    evaluate: choice("all: the training and test images too", ("validation", "all")) = "validation"
    degrees: number("augmentation: largest turn either way, degrees") = 0.0
    scale: number("augmentation: largest change of height and of width, a share") = 0.0
    shear: number("augmentation: largest slant, pixels per row") = 0.0
    shift: number("augmentation: largest move, pixels") = 0.0
    edges: choice("what comes in there: black, or the image mirrored", EDGES) = "black"
    mirror: whole("augmentation: 1 mirrors half of the images", least=0, below=2) = 0
    brightness: number("augmentation: largest change either way, pixel values") = 0.0
    contrast: number("augmentation: 0.8 multiplies the contrast by 0.2 to 1.8", below=1) = 0.0


LASTING = ("exponential", "staircase")  # schedules that do not depend on the last step
NEEDS = {  # what an entry has an effect with
    "penalty": ("a regularizer above 0", lambda recipe: recipe.regularizer),
    "momentum": ("optimizer=momentum or nesterov", lambda recipe: recipe.optimizer in ("momentum", "nesterov")),
    "learning_rate_decay": ("schedule=exponential or staircase", lambda recipe: recipe.schedule in LASTING),
    "edges": ("degrees, scale, shear or shift above 0", lambda recipe: any(_affine(recipe))),
    "decay_epochs": ("a learning_rate_decay other than 1", lambda recipe: recipe.learning_rate_decay != 1),
}


def _affine(recipe):
    return recipe.degrees, recipe.scale, recipe.shear, recipe.shift


def change(recipe, settings):
    """Returns a copy of a recipe with settings, a list of "key=value", in the types of its entries.

    Raises UserError for an unknown key (it lists them), a key that comes twice, a value that is not of the entry's type
    or not within its limits, and a setting that would have no effect.
    """
    types = _types(recipe)
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE, not {setting!r}")
        if key not in types:
            raise UserError(f"--set {setting}: no entry {key!r} in the recipe; there are {', '.join(types)}")
        if key in changes:
            raise UserError(f"--set {setting}: {key} is set twice; give one value")
        try:
            kind = types[key].__origin__
            changes[key] = msgspec.convert(kind(text) if isinstance(kind, type) else text, types[key])
        except ValueError:  # of kind(), or msgspec's
            raise UserError(f"--set {setting}: {key} takes {_limits(types[key])}") from None
    changed = dataclasses.replace(recipe, **changes)
    for key, value in changes.items():
        if key in NEEDS and not NEEDS[key][1](changed):
            raise UserError(f"--set {key}={value} changes nothing: it needs {NEEDS[key][0]}")
    try:
        msgspec.convert(dataclasses.asdict(changed), type(changed))
    except msgspec.ValidationError as error:  # the network's own recipe is wrong
        raise UserError(f"the recipe of the network is not valid: {error}") from None
    return changed


def table(recipe):
    """The entries of a recipe, a line each, with value and meaning: for --help."""
    lines = []
    for key, kind in _types(recipe).items():
        meaning = kind.__metadata__[0].description
        values = f" ({', '.join(typing.get_args(kind.__origin__))})" if not isinstance(kind.__origin__, type) else ""
        lines.append(f"  {f'{key}={getattr(recipe, key)}':34} {meaning}{values}")
    return "\n".join(lines)


def _types(recipe):
    """{key: type, as whole(), number() or choice() gave it}."""
    return typing.get_type_hints(type(recipe), include_extras=True)


def _limits(kind):
    """What values a type takes, in words."""
    if not isinstance(kind.__origin__, type):
        return f"one of {', '.join(typing.get_args(kind.__origin__))}"
    meta = kind.__metadata__[0]
    lower = f"of at least {meta.ge}" if meta.gt is None else f"above {meta.gt}"
    return f"a {'whole ' if kind.__origin__ is int else ''}number {lower} and below {meta.lt}"
