"""Calibration on request: on whose distances, for which rate, and what that keeps and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ilk.calibration import require_classes
from ilk.errors import InvalidInput, NotCalibrated, NotEnoughTrials
from ilk.gallery.access import Access
from ilk.gallery.admission import admit, check_shape
from ilk.gallery.calibration_report import CalibrationReport, calibration_report
from ilk.gallery.enrolling import contents_of
from ilk.gallery.settings import Basis, Settings, num_first
from ilk.gallery.state import State
from ilk.gallery.strangers import probes_of
from ilk.store import NewStranger, Writer
from ilk.thresholds import Threshold

__all__ = ["calibrate", "report", "settings_for", "strangers_of"]


def strangers_of(
    access: Access,
    embeddings: np.ndarray,
    groups: Sequence[str] | None,
    content_hashes: Sequence[str] | None,
) -> list[NewStranger]:
    """Return strangers as a store takes them.

    Raises:
        InvalidInput: A shape does not fit, or an embedding cannot be compared with.
    """
    binding = access.binding
    rows, reasons = admit(check_shape(embeddings, binding.embedding_size), binding.distance)
    for name, given in (("groups", groups), ("content_hashes", content_hashes)):
        if given is not None and len(given) != len(rows):
            raise InvalidInput(f"expected {len(rows)} {name}, one per stranger, got {len(given)}")
    refused = [i for i, reason in enumerate(reasons) if reason]
    if refused:
        raise InvalidInput(f"stranger {refused[0]} cannot be used: {reasons[refused[0]]}")
    hashes = contents_of(rows, content_hashes)
    named = hashes if groups is None else [g or h for g, h in zip(groups, hashes, strict=True)]
    return [NewStranger(*row) for row in zip(rows, hashes, named, strict=True)]


def calibrate(
    access: Access, asked: Settings, strangers: Sequence[NewStranger] | None
) -> Threshold:
    """Take over settings and strangers, if they can carry the target, and return the threshold.

    Raises:
        NotCalibrated: They cannot; nothing was changed.
    """

    def work(writer: Writer) -> None:
        if strangers is not None:
            writer.update("stranger", writer.strangers().ids.tolist(), "is_live", False)
            closed = writer.suppressed([row.content_hash for row in strangers])
            writer.add_strangers([row for row in strangers if row.content_hash not in closed])
        for key, value in asked.as_dict().items():
            writer.set(key, value)
        _require_enough(writer, access, state, asked)

    with access.fresh() as state:
        access.change("calibrate", work)
    with access.fresh() as state:
        return state.threshold


def report(access: Access, factor: float) -> CalibrationReport:
    """Return what the threshold keeps and costs, now and at `factor` times the classes.

    Raises:
        NotCalibrated: There is no threshold.
    """
    with access.fresh() as state:
        return calibration_report(
            state.threshold,
            state.strangers(),
            state.live.searcher,
            state.live.members,
            factor=factor,
            is_every=state.live.templates.is_every,
        )


def settings_for(
    access: Access,
    target_fpir: float,
    basis: Basis | None,
    margin: float | None,
    *,
    confidence: float | None,
    has_strangers: bool,
) -> Settings:
    """Return the present settings with what a caller asked for.

    Raises:
        NotCalibrated: There is no basis to keep, or the chosen one has nothing.
        InvalidInput: A setting is out of its range.
    """
    with access.fresh() as state:
        present = state.settings
        chosen = basis or ("strangers" if has_strangers else present.basis)
    if chosen is None:
        raise NotCalibrated(
            "expected a basis to calibrate on, and the gallery has none yet: give strangers, or "
            "choose 'leave-one-out' over the gallery's own classes"
        )
    if has_strangers and chosen != "strangers":
        raise InvalidInput(f"strangers were given, and the basis is {chosen!r}; leave one out")
    changed = replace(present, basis=chosen, target_fpir=target_fpir, confidence=confidence)
    return changed if margin is None else replace(changed, margin=margin)


def _require_enough(writer: Writer, access: Access, state: State, asked: Settings) -> None:
    if asked.basis is None:
        return
    probes = probes_of(asked.basis, access.binding, writer, state.live.members)
    labels = [row.label for row in writer.classes() if row.num_exemplars]
    content = set(writer.find_content(probes.content_hashes))
    counts = probes.counts(labels, content)
    num_enrolled = len(probes.names) - probes.num_classes(counts) if probes.names else 0
    try:
        require_classes(
            probes.num_classes(counts),
            int(counts.sum()),
            asked.target_fpir,
            num_first=num_first(asked.basis),
            confidence=asked.confidence,
        )
    except NotEnoughTrials as error:
        besides = f" ({num_enrolled:,} more are enrolled and do not count)" if num_enrolled else ""
        raise NotCalibrated(
            f"the basis {asked.basis!r} cannot carry the target: {error}{besides}"
        ) from error
