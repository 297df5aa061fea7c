"""What commands that measure an artifact share: open it, embed what it never saw, or refuse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ilk.cli.output import echo_bold
from ilk.cli.progress import progress_bar

if TYPE_CHECKING:
    from ilk.artifact import Artifact, Overlap
    from ilk.detecting import Choice
    from ilk.detector import Detector
    from ilk.evaluation.acquisition import Acquired

__all__ = ["detector_of", "embed_unseen", "overlap_warning", "refuse_overlap"]

_NUM_NAMED = 5


def detector_of(artifact: Artifact, name: str | None) -> Detector:
    """Open what the artifact expects, or another detector by its name with its own defaults."""
    from ilk.detecting import open_detector

    expected: dict[str, Any] = dict(artifact.detector)
    return open_detector(expected if name in (None, expected["name"]) else name)


def embed_unseen(
    artifact: Artifact,
    source: str,
    *,
    detector: str | None,
    choice: Choice,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow: bool,
) -> Acquired:
    """Return the embeddings of a source, after making sure that training saw none of it.

    Their hashes are those of the pictures, so that evaluations of two detectors can be compared.

    Raises:
        ClassOverlap: It did, and `allow` is False. Labels are compared before anything is embedded.
        DataError: The source has no items, or none of them gives a probe.
    """
    from ilk.datasets import open_source
    from ilk.embedding import EmbeddingCache
    from ilk.encoders.onnx import open_encoder
    from ilk.errors import DataError
    from ilk.evaluation.acquisition import acquire

    items = open_source(source, on_unreadable=on_unreadable)
    if not len(items):
        raise DataError(f"{source}: expected labelled items, found none")
    if not allow:
        refuse_overlap(artifact, items.labels, (), allow=False)
    looks = detector_of(artifact, detector)
    with progress_bar() as progress:
        found = acquire(
            open_encoder(artifact),
            looks,
            items,
            choice=choice,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            cache=EmbeddingCache(),
            progress=progress,
        )
    if not len(found.embedded):
        first = found.failures[0]
        raise DataError(
            f"{source}: none of its {len(items):,} pictures gives a probe; {first.picture.name}: "
            f"{first.reason}"
        )
    labels, hashes = found.embedded.items.labels, found.embedded.hashes
    if not looks.is_whole:
        hashes = tuple(items.items[place].content_hash() for place in found.position)
    refuse_overlap(artifact, labels, (*found.embedded.hashes, *hashes), allow=allow)
    return replace(found, embedded=replace(found.embedded, hashes=hashes))


def refuse_overlap(
    artifact: Artifact, labels: Iterable[str], hashes: Iterable[str], *, allow: bool
) -> None:
    """Refuse what training saw, or warn of it if it is allowed.

    Raises:
        ClassOverlap: Training saw some of it, and `allow` is False.
    """
    from ilk.artifact import find_overlap
    from ilk.errors import ClassOverlap

    overlap = find_overlap(artifact.manifest, labels, set(hashes))
    if overlap and allow:
        echo_bold(f"WARNING: {overlap_warning(overlap)}", err=True)
    elif overlap:
        raise ClassOverlap(
            f"expected classes that training never saw, but it saw {_told(overlap)}; "
            "evaluate on other classes, or pass --allow-overlap to go on all the same"
        )


def overlap_warning(overlap: Overlap) -> str:
    """Return what makes the figures worth less than they seem."""
    return (
        f"training saw {_told(overlap)}. These figures are NOT about unseen classes; do not report "
        "them as such."
    )


def _told(overlap: Overlap) -> str:
    classes = overlap.classes
    named = ", ".join(repr(label) for label in classes[:_NUM_NAMED])
    more = f" and {len(classes) - _NUM_NAMED:,} more" if len(classes) > _NUM_NAMED else ""
    parts = [f"{len(classes):,} of these classes ({named}{more})"] if classes else []
    parts += [f"{len(overlap.items):,} of these items"] if overlap.items else []
    return " and ".join(parts)
