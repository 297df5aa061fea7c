"""What an evaluation found: figures with intervals, curves, mistakes, and the values behind them.

Frozen answers without computation. `Evaluation.to_json` and `Evaluation.from_json` carry them
through a file without loss.

Shapes: N items, M probes of the open-set trial, n sampled comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, final

import numpy as np

from ilk.errors import DataError, InvalidInput
from ilk.evaluation.groups import GroupTable
from ilk.thresholds import Threshold

__all__ = ["SCHEMA_VERSION", "Curve", "Evaluation", "Figure", "Mistake", "OpenSetTrial"]

SCHEMA_VERSION = 1
"""Raised whenever `Evaluation.to_json` changes in a way that older readers would misread."""


@final
@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval and what stands behind it."""

    name: str
    """Such as "map_at_r" or "fnir_at_fpir_0.01"."""
    value: float | None
    """None where the data cannot carry the figure; `note` then says why."""
    low: float | None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None
    """Upper end of the 95 % interval; None where there is none."""
    num_trials: int
    """How many queries, probes or comparisons were counted."""
    num_classes: int
    """How many classes they belong to: what the bootstrap draws from."""
    note: str = ""
    """What a reader must know before quoting the number."""


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """Points (x, y) in the order of growing x, with the words for the axes."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str


@final
@dataclass(frozen=True)
class Mistake:
    """A query whose closest neighbours are of other classes."""

    query: int
    """Position of the item."""
    neighbors: tuple[int, ...]
    """Positions of its closest other items, closest first."""
    distances: tuple[float, ...]
    """Their distances."""


@final
@dataclass(frozen=True, eq=False)
class OpenSetTrial:
    """The probes of one draw of the open-set protocol and what the gallery answered, (M,) each."""

    probe: np.ndarray
    """Position of the item, int64."""
    is_mated: np.ndarray
    """Whether the probe's own class is enrolled, bool."""
    closest: np.ndarray
    """Class id (a position in `Evaluation.classes`) of the closest enrolled class, int64."""
    distance: np.ndarray
    """Distance of that class: of its closest exemplar, float64."""
    true: np.ndarray
    """Class id of the probe itself, int64."""
    found: np.ndarray
    """For mated probes the chance that the closest class is the true one: 1, 0, or a share where
    several classes are exactly tied; 0 for non-mated probes. float64."""
    half: np.ndarray
    """0 or 1: which half of the strangers a non-mated probe belongs to; -1 for mated probes. The
    threshold that one half is judged by was chosen on the other."""

    @staticmethod
    def empty() -> OpenSetTrial:
        """Return the trial without probes, where the classes are too few or too small."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return OpenSetTrial(whole, np.zeros(0, bool), whole, real, whole, real, whole)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """Everything that one evaluation found.

    Example:
        >>> nothing = Evaluation(figures=(Figure("map_at_r", 0.5, 0.4, 0.6, 10, 5),))
        >>> nothing.figure("map_at_r").value
        0.5
        >>> Evaluation.from_json(nothing.to_json()).figure("map_at_r").high
        0.6
    """

    figures: tuple[Figure, ...]
    curves: dict[str, Curve] = field(default_factory=dict)
    """ "dir": true positive identifications over false ones; "det": false non-matches over false
    matches."""
    genuine: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Distances of sampled pairs of one class, (n,)."""
    impostor: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Distances of sampled pairs of two classes, (n,)."""
    per_query: dict[str, np.ndarray] = field(default_factory=dict)
    """For each figure that is a mean over items, its value for each item, (N,) float64; NaN where
    an item was not counted."""
    strangers: dict[str, np.ndarray] = field(default_factory=dict)
    """For each figure that is a mean over strangers, its value for each item, (N,) float64: the
    share of draws in which it got a name; NaN where it never was a stranger."""
    groups: tuple[GroupTable, ...] = ()
    """Rates by the columns of a table that were asked for."""
    mistakes: tuple[Mistake, ...] = ()
    """Worst first."""
    threshold: Threshold | None = None
    open_set: OpenSetTrial = field(default_factory=OpenSetTrial.empty)
    """The first draw of the protocol; the figures are averages over all draws."""
    counts: dict[str, int] = field(default_factory=dict)
    """Items, classes, lone queries and the like."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What the evaluation was asked, its seed and distance included."""
    classes: tuple[str, ...] = ()
    """The labels, sorted; a class id is a position in here."""
    class_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Class id of each item, (N,) int64."""
    hashes: tuple[str, ...] = ()
    """Content hash of each item, or nothing where the embeddings came from memory."""

    def figure(self, name: str) -> Figure:
        """Return the figure of that name.

        Raises:
            InvalidInput: There is none; the message lists what there is.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        known = ", ".join(figure.name for figure in self.figures)
        raise InvalidInput(f"no figure {name!r} in this evaluation; there are {known}")

    def to_json(self) -> dict[str, Any]:
        """Return what `json.dump` can write and `from_json` reads back without loss."""
        return {
            "schema": "ilk.evaluation",
            "schema_version": SCHEMA_VERSION,
            "figures": [asdict(figure) for figure in self.figures],
            "counts": dict(self.counts),
            "settings": dict(self.settings),
            "threshold": None if self.threshold is None else asdict(self.threshold),
            "curves": {
                key: {**vars(curve), "x": _plain(curve.x), "y": _plain(curve.y)}
                for key, curve in self.curves.items()
            },
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
            "open_set": {key: _plain(array) for key, array in vars(self.open_set).items()},
            "genuine": _plain(self.genuine),
            "impostor": _plain(self.impostor),
            "classes": list(self.classes),
            "class_ids": _plain(self.class_ids),
            "hashes": list(self.hashes),
            "per_query": {key: _plain(array) for key, array in self.per_query.items()},
            "strangers": {key: _plain(array) for key, array in self.strangers.items()},
            "groups": [table.to_json() for table in self.groups],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make the evaluation that `to_json` described.

        Raises:
            DataError: It is not an evaluation, or one that a newer version wrote.
        """
        if content.get("schema") != "ilk.evaluation":
            raise DataError(
                "expected an evaluation as `ilk evaluate --save` writes it, got something else; "
                "evaluate again with --save"
            )
        if content.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"expected schema version {SCHEMA_VERSION} of an evaluation, got "
                f"{content.get('schema_version')}; evaluate again with this version of ilk"
            )
        try:
            return cls(**_parts(content))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the evaluation is incomplete or damaged ({error!r}); evaluate again with --save"
            ) from None


def _parts(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Evaluation` that JSON `content` describes."""
    threshold, trial = content["threshold"], content["open_set"]
    dtypes = {"is_mated": bool, "distance": np.float64, "found": np.float64}
    return {
        "figures": tuple(Figure(**figure) for figure in content["figures"]),
        "counts": dict(content["counts"]),
        "settings": dict(content["settings"]),
        "threshold": None if threshold is None else Threshold(**threshold),
        "curves": {
            key: Curve(**{**curve, "x": _reals(curve["x"]), "y": _reals(curve["y"])})
            for key, curve in content["curves"].items()
        },
        "mistakes": tuple(
            Mistake(row["query"], tuple(row["neighbors"]), tuple(row["distances"]))
            for row in content["mistakes"]
        ),
        "open_set": OpenSetTrial(
            **{key: np.array(values, dtypes.get(key, np.int64)) for key, values in trial.items()}
        ),
        "genuine": _reals(content["genuine"]),
        "impostor": _reals(content["impostor"]),
        "classes": tuple(content["classes"]),
        "class_ids": np.array(content["class_ids"], np.int64),
        "hashes": tuple(content["hashes"]),
        "per_query": {key: _reals(values) for key, values in content["per_query"].items()},
        "strangers": {key: _reals(v) for key, v in content.get("strangers", {}).items()},
        "groups": tuple(GroupTable.from_json(table) for table in content.get("groups", ())),
    }


def _plain(array: np.ndarray) -> list[Any]:
    """Return the array as a list in which None stands for NaN, which JSON does not have."""
    values = array.tolist()
    return [None if value != value else value for value in values]


def _reals(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
