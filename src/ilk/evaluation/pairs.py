"""Ten-fold verification from a pairs file, the protocol of Labeled Faces in the Wild (LFW).

The limit that a fold is judged by is the most accurate one on the nine others; the figure is the
mean accuracy over the folds with its standard error. A pair of which an item is missing cannot be
answered and counts as an error. Source: Huang et al., Labeled Faces in the Wild (2007).

A pairs file is one of

- LFW's: a head "folds  pairs-per-kind" (or one number: one fold), then lines of three,
  "name n1 n2", for the same person and of four, "name1 n1 name2 n2", for two;
- plain lines "path1 path2 same", separated by blanks, tabs or commas, where `same` is 1 or 0, yes
  or no, true or false; cut into ten folds in order, each with its share of both kinds.

Shapes: P pairs, F folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from ilk.errors import DataError, InvalidInput
from ilk.evaluation.figures import Figure
from ilk.thresholds import within

__all__ = ["Pairs", "fold_accuracy", "read_pairs"]

_YES_NO = {"1": True, "yes": True, "true": True, "same": True}
_YES_NO |= {"0": False, "-1": False, "no": False, "false": False, "different": False}
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5 % point of Student's t with 1 to 9 degrees of freedom."""


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of item names with the answer to "same?"."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    is_same: np.ndarray
    """(P,) bool."""
    fold: np.ndarray
    """(P,) int64, from 0 to F - 1."""

    def positions(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the (P,) positions in `names` of both items of each pair; -1 where missing.

        A name is found by its whole path, by the end of its path or by its file name without the
        suffix, in this order, if only one item answers to it.

        Example:
            >>> pairs = Pairs(("Ann_0001",), ("b.png",), np.array([True]), np.array([0]))
            >>> pairs.positions(["people/Ann/Ann_0001.jpg", "x/b.png"])
            (array([0]), array([1]))
        """
        known = _known_names(names)
        first = [known.get(_normal(name), -1) for name in self.first]
        second = [known.get(_normal(name), -1) for name in self.second]
        return np.array(first, np.int64), np.array(second, np.int64)


def read_pairs(path: str | Path) -> Pairs:
    """Read a pairs file of either form.

    Raises:
        DataError: A line is of neither form, or there are no pairs.
        OSError: The file cannot be read.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    head = re.fullmatch(r"(?:(\d+)\s+)?(\d+)", lines[0][1]) if lines else None
    if head is not None:
        return _read_lfw(path, lines[1:], int(head[1] or 1), int(head[2]))
    rows = [_read_plain(path, n, line) for n, line in lines]
    pairs = [row for row in rows if row is not None]
    if not pairs:
        raise DataError(f"{path}: expected pairs, found none; see the two forms in the manual")
    is_same = np.array([same for _, _, same in pairs])
    fold = np.zeros(len(pairs), np.int64)
    for kind in (False, True):
        where = np.flatnonzero(is_same == kind)
        fold[where] = np.arange(len(where)) * 10 // max(1, len(where))
    return Pairs(tuple(a for a, _, _ in pairs), tuple(b for _, b, _ in pairs), is_same, fold)


def fold_accuracy(distances: np.ndarray, is_same: np.ndarray, fold: np.ndarray) -> Figure:
    """Return the mean accuracy over the folds, each judged by the limit of the others.

    Args:
        distances: Of each pair, (P,); NaN where an item is missing, which counts as an error.
        is_same: Whether the pair is of one class, (P,).
        fold: Of each pair, (P,), at least two different.

    Returns:
        The figure "pairs_accuracy". Its interval is the mean +- Student's t times the standard
        error over folds, which the note gives; its classes are the folds.

    Raises:
        InvalidInput: There are fewer than two folds.

    Example:
        >>> near, far = np.full(10, 0.2), np.full(10, 0.9)
        >>> fold_accuracy(
        ...     np.append(near, far), np.arange(20) < 10, np.arange(20) % 10
        ... ).value
        1.0
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        raise InvalidInput(f"expected pairs in at least two folds, got {len(folds)}")
    accuracies = np.array([_accuracy(distances, is_same, fold == this) for this in folds])
    mean, error = float(accuracies.mean()), float(accuracies.std(ddof=1) / len(folds) ** 0.5)
    reach = error * (_STUDENT[len(folds) - 2] if len(folds) <= 10 else 1.96)
    num_missing = int(np.isnan(distances).sum())
    note = f"{len(folds)} folds, standard error {error:.4f}"
    if num_missing:
        note += f"; {num_missing} pairs with a missing item counted as errors"
    return Figure(
        "pairs_accuracy",
        mean,
        max(0.0, mean - reach),
        min(1.0, mean + reach),
        len(distances),
        len(folds),
        note,
    )


def _accuracy(distances: np.ndarray, is_same: np.ndarray, is_judged: np.ndarray) -> float:
    """Return the accuracy on the judged pairs at the best limit of the others; NaN is wrong."""
    limit = _best_limit(distances[~is_judged], is_same[~is_judged])
    is_right = within(distances, limit) == is_same
    return float((is_right & ~np.isnan(distances))[is_judged].mean())


def _best_limit(distances: np.ndarray, is_same: np.ndarray) -> float:
    """Return the limit with the most right answers, midway between distances."""
    known = ~np.isnan(distances)
    same, different = np.sort(distances[known & is_same]), np.sort(distances[known & ~is_same])
    values = np.unique(distances[known])
    limits = np.concatenate([[-np.inf], (values[:-1] + values[1:]) / 2, [np.inf]])
    right = np.searchsorted(same, limits, "right") - np.searchsorted(different, limits, "right")
    best = np.flatnonzero(right == right.max())
    return float(limits[best[len(best) // 2]])


def _read_lfw(
    path: str | Path, lines: list[tuple[int, str]], num_folds: int, per_kind: int
) -> Pairs:
    first, second, is_same = [], [], []
    for n, line in lines:
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) == 3:
            parts = [parts[0], parts[1], parts[0], parts[2]]
            is_same.append(True)
        else:
            is_same.append(False)
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            raise DataError(
                f"{path} line {n}: expected 'name n1 n2' or 'name1 n1 name2 n2', got {line!r}"
            )
        first.append(f"{parts[0]}_{int(parts[1]):04d}")
        second.append(f"{parts[2]}_{int(parts[3]):04d}")
    if len(first) != num_folds * 2 * per_kind:
        raise DataError(
            f"{path}: its first line promises {num_folds} folds of {per_kind} + {per_kind} pairs, "
            f"got {len(first)} pairs; is the file cut off?"
        )
    fold = np.arange(len(first)) // (2 * per_kind)
    return Pairs(tuple(first), tuple(second), np.array(is_same, bool), fold)


def _read_plain(path: str | Path, n: int, line: str) -> tuple[str, str, bool] | None:
    """Return a pair, or None for a table's head in the first line."""
    separator = "\t" if "\t" in line else "," if "," in line else None
    parts = [part.strip() for part in line.split(separator)]
    if len(parts) == 3 and parts[2].lower() in _YES_NO:
        return parts[0], parts[1], _YES_NO[parts[2].lower()]
    if n == 1 and len(parts) == 3:
        return None
    raise DataError(f"{path} line {n}: expected 'path1 path2 same' with same 1 or 0, got {line!r}")


def _known_names(names: Iterable[str]) -> dict[str, int]:
    """Map every way to call an item to its position; a way that two share means neither."""
    ways: list[dict[str, int]] = [{}, {}]
    for position, name in enumerate(names):
        parts = _normal(name).split("/")
        ends = ["/".join(parts[at:]) for at in range(1, len(parts))]
        stems = [end.rpartition(".")[0] for end in [_normal(name), *ends] if "." in end]
        ways[0][_normal(name)] = position
        for way in {*ends, *stems}:
            ways[1][way] = -1 if way in ways[1] else position
    return {**{way: at for way, at in ways[1].items() if at >= 0}, **ways[0]}


def _normal(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")
