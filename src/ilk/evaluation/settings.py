"""What an evaluation can be asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, final, get_args

import numpy as np

from ilk.calibration import classes_needed, least_rate
from ilk.errors import InvalidInput

__all__ = ["EvaluationSettings", "Protocol", "carried_rates"]

Protocol = Literal["all", "retrieval", "open-set"]
"""What is measured; "all" is retrieval, open set and all pairs."""

_RATES = (0.001, 0.01, 0.05, 0.1)
_NUM_RATES = 2
_HIGHEST = 1 << 62


def carried_rates(num_classes: int) -> tuple[float, ...]:
    """Return the two smallest of 0.1, 1, 5 and 10 % that so many classes of strangers can carry.

    Fewer where fewer can be carried, and where none of them can, the smallest that can.

    Example:
        >>> carried_rates(2000), carried_rates(50), carried_rates(9), carried_rates(4)
        ((0.001, 0.01), (0.05, 0.1), (0.1,), (0.2,))
    """
    carried = [rate for rate in _RATES if classes_needed(rate) <= num_classes]
    return tuple(carried[:_NUM_RATES]) or (least_rate(num_classes),)


@final
@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """The settings of one evaluation; two can be compared if these are equal.

    Raises:
        InvalidInput: A setting is out of its range.

    Example:
        >>> EvaluationSettings(num_exemplars=0)
        Traceback (most recent call last):
        ...
        ilk.errors.InvalidInput: num_exemplars must be at least 1, got 0
    """

    protocol: Protocol = "all"
    recall_at: tuple[int, ...] = (1, 5, 10)
    """The k of recall_at_k; 1 is always among them."""
    num_exemplars: int = 5
    """Exemplars of each enrolled class."""
    enrolled_share: float = 0.5
    """The share of the classes to enroll; the others are strangers."""
    max_stranger_items: int | None = None
    """None: strangers are all classes but that share. A number: all classes of more items than
    `num_exemplars` are enrolled, and strangers are those of at most so many items."""
    num_draws: int = 5
    """How often the open-set protocol is drawn; its figures are means over the draws."""
    fpir_targets: tuple[float, ...] = ()
    """Rates at which strangers may get a name. Without any, `carried_rates` of the classes of
    strangers in the smaller half."""
    fmr_targets: tuple[float, ...] = (0.01, 0.001, 0.0001)
    """Rates at which impostor comparisons may be accepted."""
    exclude_same_group: bool = False
    """Leave out mated probes that share a group with an exemplar of their class."""
    num_bootstraps: int = 2000
    """Draws of the bootstrap by class."""
    max_comparisons: int = 1 << 22
    """The most genuine and the most impostor comparisons of verification."""
    num_mistakes: int = 24
    """How many of the worst queries to list."""
    num_neighbors: int = 6
    """How many neighbours to list of each."""
    num_samples: int = 20_000
    """How many genuine and impostor distances to keep for histograms."""
    seed: int = 0
    """Decides every draw and sample."""
    memory_mib: int = 1024
    """What may be taken beyond the embeddings; never changes a result."""
    fingerprint: str = ""
    """Of the encoder, for the threshold."""

    def __post_init__(self) -> None:
        least = {"num_exemplars": 1, "num_draws": 1, "num_bootstraps": 1, "memory_mib": 1}
        least |= {"max_comparisons": 1, "num_mistakes": 0, "num_neighbors": 1, "num_samples": 0}
        if self.max_stranger_items is not None:
            least["max_stranger_items"] = 1
        for name, lowest in {**least, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or not lowest <= value <= _HIGHEST:
                raise InvalidInput(f"{name} must be at least {lowest}, got {value!r}")
        if not isinstance(self.enrolled_share, float | int | np.floating):
            raise InvalidInput(f"enrolled_share must be a number, got {self.enrolled_share!r}")
        if not isinstance(self.protocol, str) or self.protocol not in get_args(Protocol):
            raise InvalidInput(
                f"protocol must be one of {get_args(Protocol)}, got {self.protocol!r}"
            )
        for name in ("fpir_targets", "fmr_targets"):
            rates = getattr(self, name)
            if not isinstance(rates, tuple | list) or not all(map(_is_rate, rates)):
                raise InvalidInput(f"{name} must lie between 0 and 1, got {rates!r}")

    @property
    def comparable(self) -> dict[str, Any]:
        """The settings that decide results, for a file: without memory and fingerprint."""
        left_out = ("memory_mib", "fingerprint", "num_mistakes", "num_neighbors", "num_samples")
        unless = {"protocol": "all", "max_stranger_items": None}
        content = {
            key: value
            for key, value in asdict(self).items()
            if key not in left_out and not (key in unless and value == unless[key])
        }
        return {key: list(v) if isinstance(v, tuple) else v for key, v in content.items()}


def _is_rate(value: object) -> bool:
    return isinstance(value, float | int | np.floating) and bool(0 < value < 1)
