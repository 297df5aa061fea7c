"""What figures are called and what they mean, in words a person understands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

__all__ = ["GROUPS", "Words", "distance_text", "percent", "shortened", "words_for"]


@final
@dataclass(frozen=True)
class Words:
    """How a figure is presented."""

    title: str
    meaning: str
    group: str
    is_lower_better: bool = False


_OPEN, _CLOSED, _PAIRS, _FURTHER = "Open set", "Retrieval", "Verification", "Further"
GROUPS = (_OPEN, _CLOSED, _PAIRS, _FURTHER)
"""The order in which figures are shown."""

_WORDS: tuple[tuple[str, Words], ...] = (
    (
        r"fnir_at_fpir_(?P<rate>[\d.e-]+)",
        Words(
            "FNIR at FPIR {rate}",
            "known items that are missed or misnamed while {rate} of strangers get a name",
            _OPEN,
            is_lower_better=True,
        ),
    ),
    (
        r"fpir_at_target_(?P<rate>[\d.e-]+)",
        Words(
            "FPIR reached at target {rate}",
            "strangers that a threshold chosen on other classes gave a name",
            _OPEN,
            is_lower_better=True,
        ),
    ),
    (r"auroc", Words("AUROC", "chance that a known item is closer than a stranger", _OPEN)),
    (
        r"rank_1",
        Words("Rank-1", "known items whose closest class is right, without a threshold", _OPEN),
    ),
    (
        r"recall_at_1",
        Words("Recall@1", "items whose closest other item is of their class", _CLOSED),
    ),
    (
        r"recall_at_(?P<k>\d+)",
        Words(
            "Recall@{k}", "items with at least one of their class among the {k} closest", _CLOSED
        ),
    ),
    (
        r"r_precision",
        Words("R-precision", "right ones among the R closest; R others are of the class", _CLOSED),
    ),
    (
        r"map_at_r",
        Words("MAP@R", "right ones among the R closest, earlier ones counting more", _CLOSED),
    ),
    (r"mrr", Words("MRR", "mean of 1 / rank of the first right neighbour", _CLOSED)),
    (
        r"eer",
        Words(
            "EER",
            "error of 1:1 comparison where both kinds are equally frequent",
            _PAIRS,
            is_lower_better=True,
        ),
    ),
    (
        r"tmr_at_fmr_(?P<rate>[\d.e-]+)",
        Words("TMR at FMR {rate}", "genuine pairs accepted while {rate} of impostors are", _PAIRS),
    ),
    (
        r"fnmr_at_fmr_(?P<rate>[\d.e-]+)",
        Words(
            "FNMR at FMR {rate}",
            "genuine pairs rejected while {rate} of impostors are accepted",
            _PAIRS,
            is_lower_better=True,
        ),
    ),
    (
        r"accuracy_at_fmr_(?P<rate>[\d.e-]+)",
        Words(
            "Accuracy at FMR {rate}",
            "pairs judged rightly by a threshold chosen on others",
            _PAIRS,
        ),
    ),
    (
        r"fmr_at_target_(?P<rate>[\d.e-]+)",
        Words(
            "FMR reached at target {rate}",
            "impostor pairs accepted by a threshold chosen on others",
            _PAIRS,
            is_lower_better=True,
        ),
    ),
    (
        r"fnmr_at_target_(?P<rate>[\d.e-]+)",
        Words(
            "FNMR at target FMR {rate}",
            "genuine pairs rejected by a threshold chosen on others",
            _PAIRS,
            is_lower_better=True,
        ),
    ),
    (
        r"fta",
        Words(
            "Failure to acquire",
            "pictures that gave no probe",
            _FURTHER,
            is_lower_better=True,
        ),
    ),
    (
        r"fte",
        Words(
            "Failure to enroll",
            "classes of which no picture gave a probe",
            _FURTHER,
            is_lower_better=True,
        ),
    ),
    (
        r"missed_at_1",
        Words(
            "Missed at rank 1",
            "items whose closest other item is of another class",
            _CLOSED,
            is_lower_better=True,
        ),
    ),
    (
        r"pairs_accuracy",
        Words("Accuracy on the pairs file", "pairs judged rightly, fold by fold", _PAIRS),
    ),
)


def words_for(name: str) -> Words:
    """Return how the figure `name` is presented; an unknown one keeps its name.

    Example:
        >>> words_for("fnir_at_fpir_0.01").title, words_for("recall_at_4").title
        ('FNIR at FPIR 1 %', 'Recall@4')
        >>> words_for("one_shot_error")
        Words(title='one shot error', meaning='', group='Further', is_lower_better=False)
    """
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, name):
            values = found.groupdict()
            if "rate" in values:
                values["rate"] = f"{100 * float(values['rate']):g} %"
            title, meaning = words.title.format(**values), words.meaning.format(**values)
            return Words(title, meaning, words.group, words.is_lower_better)
    return Words(name.replace("_", " "), "", _FURTHER)


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal, or two within 1 % of either end.

    What is not 0 or 1 is never shown as if it were.

    Example:
        >>> percent(0.8734), percent(0.001), percent(0.9999), percent(1.0), percent(1e-6)
        ('87.3 %', '0.10 %', '99.99 %', '100 %', '< 0.01 %')
    """
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if 0 < share < 5e-5:
        return "< 0.01 %"
    if 1 - 5e-5 < share < 1:
        return "> 99.99 %"
    return f"{100 * share:.{1 if 0.01 <= share <= 0.99 else 2}f} %"


def distance_text(distance: float) -> str:
    """Return a distance with three digits that count.

    Example:
        >>> distance_text(0.12345), distance_text(12.3456)
        ('0.123', '12.3')
    """
    return f"{distance:.{3 if distance < 1 else 2 if distance < 10 else 1}f}"


def shortened(words: str, length: int) -> str:
    """Return `words` in one line of at most `length` characters, an ellipsis where it is cut."""
    flat = " ".join(words.split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"
