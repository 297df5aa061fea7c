"""Numbers and thresholds in words, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ilk.thresholds import Threshold

__all__ = [
    "counted",
    "percent",
    "plural_of",
    "told_picture_promise",
    "told_promise",
    "told_threshold",
]


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "class", "classes"), counted(1200, "exemplar")
        ('1 class', '1,200 exemplars')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def percent(share: float) -> str:
    """Return a share as a percentage with two significant digits, or more where that is whole.

    Example:
        >>> percent(0.01), percent(0.0123), percent(0.34567), percent(1.0), percent(0.0)
        ('1 %', '1.2 %', '35 %', '100 %', '0 %')
    """
    value = 100 * share
    if 0 < value < 1e-4:
        return "under 0.0001 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def told_threshold(threshold: Threshold) -> str:
    """Return a threshold in words: value, promise, and who stands behind it."""
    name = threshold.distance.get("name", "")
    share = percent(threshold.target_fpir)
    sure = ""
    if threshold.confidence is not None:
        sure = f", with {percent(threshold.confidence)} confidence"
    words = (
        f"{threshold.value:.4g} ({name} distance), so that at most {share} of strangers get a name"
        f"{sure}; chosen on {told_strangers(threshold)} ({threshold.basis})"
    )
    if threshold.measured_fpir is not None and threshold.interval is not None:
        low, high = threshold.interval
        words += (
            f", of whom it names {percent(threshold.measured_fpir)} "
            f"(95 %: {percent(low)} to {percent(high)})"
        )
    return words


def told_strangers(threshold: Threshold) -> str:
    """Return who stands behind a threshold: classes first, since these are what it counts.

    Example:
        >>> from ilk.thresholds import Threshold
        >>> told_strangers(Threshold(value=0.42, distance={"name": "cosine"}, target_fpir=0.01,
        ...     num_trials=500, num_classes=120, basis="cohort", gallery_size=20))
        '120 classes of strangers, 500 probes'
    """
    probes = counted(threshold.num_trials, "probe")
    if threshold.num_classes is None:
        return f"strangers, {probes}"
    return f"{counted(threshold.num_classes, 'class', 'classes')} of strangers, {probes}"


def told_promise(threshold: Threshold, noun: str = "probe") -> str:
    """Return what a threshold promises of one probe.

    Example:
        >>> from ilk.thresholds import Threshold
        >>> at = Threshold(value=0.42, distance={"name": "cosine"}, target_fpir=0.01,
        ...     num_trials=500, basis="cohort", gallery_size=20)
        >>> told_promise(at, "face")
        "threshold 0.42 (cosine distance): at most 1 % of strangers' faces get a name"
        >>> from dataclasses import replace
        >>> told_promise(replace(at, basis="leave-one-out"), "face")[49:]
        "strangers' faces get a name, as far as those enrolled can stand in for strangers"
    """
    name = threshold.distance.get("name", "")
    share = percent(threshold.target_fpir)
    own = threshold.basis == "leave-one-out"
    return (
        f"threshold {threshold.value:.4g} ({name} distance): at most {share} of strangers' "
        f"{plural_of(noun)} get a name"
        + (", as far as those enrolled can stand in for strangers" if own else "")
    )


def told_picture_promise(num_compared: int, rate: float, noun: str = "probe") -> str:
    """Return what that is for a picture of several probes.

    Args:
        num_compared: How many there are.
        rate: The most that the chance of any name is, if all are strangers'.
        noun: What they are.

    Example:
        >>> told_picture_promise(12, 0.12, "face")
        "if all 12 faces were strangers', at most 12 % of such pictures would show a name"
        >>> told_picture_promise(200, 1.0, "face")
        'with 200 faces nothing is promised of the picture: some of so many may well get a name'
    """
    of = f"{num_compared:,} {plural_of(noun)}"
    if rate >= 1:
        return f"with {of} nothing is promised of the picture: some of so many may well get a name"
    all_of = f"both {plural_of(noun)}" if num_compared == 2 else f"all {of}"
    return (
        f"if {all_of} were strangers', at most {percent(rate)} of such pictures would show a name"
    )


def plural_of(noun: str) -> str:
    """Return several of what a detector finds.

    Example:
        >>> plural_of("face"), plural_of("box")
        ('faces', 'boxes')
    """
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
