"""The settings of a training run, as frozen dataclasses.

`"auto"` stands for what fits the data and the encoder; `ilk.training.defaults` decides it, and the
run that an artifact records has none left.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Augment",
    "Batch",
    "Data",
    "Detector",
    "Distance",
    "Encoder",
    "Loss",
    "Optimizer",
    "Run",
    "Schedule",
    "Trainer",
    "differences",
    "flat",
]

Auto = Literal["auto"]
Options = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the items come from and how they are split and loaded."""

    source: str = ""
    """A folder, a table or a data set; what `ilk train SOURCE` names takes its place."""
    on_unreadable: Literal["stop", "skip"] = "stop"
    """What to do with an item that cannot be decoded."""
    merge_splits: bool = False
    """Take each class of training or validation whole, whatever its splits; hold out classes."""
    validation_fraction: float = 0.2
    """Share of the classes that training does not see, to choose the best weights by."""
    validation_by: Literal["class", "parent"] = "class"
    """"parent" keeps classes together whose labels agree up to the last "/"."""
    cache_mib: int = 2048
    """Largest decoded data set to keep in memory, in MiB; a larger one is read as needed."""
    num_threads: int | Auto = "auto"
    """That read a data set which does not fit in memory."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What is cut out of each picture before anything else: a plugin of `ilk.detectors`."""

    name: str = "whole_image"
    options: Options = field(default_factory=dict)
    """An option `size_pixels` that is not set follows the encoder."""
    choice: Literal["only", "largest"] = "only"
    """Of several regions in a picture: do not use the picture, or take the largest."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """What turns an item into an embedding: a plugin of `ilk.encoders` and its options."""

    name: str = "auto"
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What training makes small: a plugin of `ilk.losses` and its options."""

    name: str = "auto"
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The distance that is learnt: cosine, euclidean or hyperbolic, and its options."""

    name: str = "cosine"
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How items are distorted at random."""

    name: str = "auto"
    """"drawing", "photo" or "none"."""
    options: Options = field(default_factory=dict)
    rotations_as_classes: bool = False
    """Count each quarter turn of a drawing as a class of its own."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """P classes with K items each."""

    classes: int | Auto = "auto"
    items_per_class: int | Auto = "auto"
    classes_per_parent: int = 1
    """About how many classes of one parent, such as `Greek/...`, come together, so that a batch
    holds classes that are easily confused; 1 mixes all. Quarter turns are then drawn by parent."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW; normalization layers and biases are not decayed."""

    learning_rate: float | Auto = "auto"
    """Of the head."""
    backbone_learning_rate: float | Auto = "auto"
    class_weights_learning_rate: float | Auto = "auto"
    """Of what the loss itself learns."""
    weight_decay: float = 0.01
    clip_norm: float = 3.0
    """Longest gradient; 0 does not clip."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and how the learning rates move: linear warm-up, then down a cosine."""

    steps: int | Auto = "auto"
    epochs: float = 0.0
    """Instead of steps: as many as it takes to draw every item so often. 0 leaves it to steps."""
    warm_up: float = 0.1
    """Share of the steps."""
    final: float = 0.01
    """Share of the learning rate that is left at the end."""
    head_only_epochs: float | Auto = "auto"
    """How long the backbone stays as it is at first."""
    validate_every: int | Auto = "auto"
    """In steps."""
    patience: int | Auto = "auto"
    """After how many validations in a row without a better one to stop; 0 never stops early."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """What is trained, on what, and what is written down."""

    mode: Literal["auto", "whole", "head"] = "auto"
    """"head" runs the backbone once over every item and trains the head on what comes out."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    average: float = 0.0
    """Decay of the moving average of the weights, such as 0.999; 0 keeps none."""
    freeze_batch_norm: bool | Auto = "auto"
    """Keep the running statistics of the backbone as they are."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int = 1
    strategy: str = "ddp"
    """How several devices work together; what Lightning calls it."""
    deterministic: bool = True
    """Ask a GPU for the same result every time."""
    loggers: tuple[str, ...] = ("csv", "tensorboard")
    """Of csv, tensorboard, mlflow and wandb; `mlflow:ADDRESS` takes the address of a database or
    server, such as mlflow:sqlite:///runs.db."""
    log_every: int = 10
    """In steps."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """All settings of one training run.

    Example:
        >>> Run().distance.name, Run().seed
        ('cosine', 0)
    """

    seed: int = 0
    data: Data = Data()
    detector: Detector = Detector()
    encoder: Encoder = Encoder()
    loss: Loss = Loss()
    distance: Distance = Distance()
    augment: Augment = Augment()
    batch: Batch = Batch()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    trainer: Trainer = Trainer()

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as nested dictionaries that JSON and TOML can hold."""
        settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return settings


def differences(first: Run, second: Run) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted paths at which two runs differ, with both values.

    Example:
        >>> list(differences(Run(), Run(seed=2)))
        [('seed', 0, 2)]
    """
    one, other = flat(first.as_dict()), flat(second.as_dict())
    for path in sorted(one.keys() | other.keys()):
        if one.get(path) != other.get(path):
            yield path, one.get(path), other.get(path)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted path.

    Example:
        >>> flat({"batch": {"classes": 32}})
        {'batch.classes': 32}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
