"""The inbox: unknown probes kept on purpose, for a person to name or to let go.

Nothing is learned by itself: what is kept takes no part in any decision until somebody names it.

Shapes: Q probes, N kept unknown probes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from ilk.calibration import StrangerDistances
from ilk.closest import closest_classes
from ilk.errors import InvalidInput, NotCalibrated
from ilk.gallery import commands
from ilk.gallery.access import Access
from ilk.gallery.admission import admit, check_shape
from ilk.gallery.enrolling import Candidates, Guard, contents_of, enroll
from ilk.gallery.guarding import guard_reasons
from ilk.gallery.linkage import complete_linkage
from ilk.gallery.state import State
from ilk.labels import clean_label
from ilk.results import Enrollment, Identification
from ilk.store import NewUnknown, Reader, UnknownRow, Writer

__all__ = ["Proposal", "clusters", "discard", "keep_unknown", "name_unknowns", "proposals"]

_MOST = 4000
"""Of more kept probes than this, the latest so many are clustered: 128 MB of distances."""


@final
@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Kept unknown probes that may be one class: any two are within the gallery's threshold."""

    ids: tuple[int, ...]
    """Of the unknown probes, ascending."""
    names: tuple[str, ...]
    """What each is called, usually the path that it was read from."""
    middle: int
    """The one whose farthest other is closest: the one to show."""
    diameter: float
    """The distance of the two that are farthest apart; 0 of one alone."""
    closest_label: str | None
    """The enrolled class closest to any of them, as the gallery is now."""
    closest_distance: float | None
    command: str
    """What names them."""

    def __len__(self) -> int:
        return len(self.ids)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def keep_unknown(
    access: Access,
    identifications: Sequence[Identification],
    embeddings: np.ndarray,
    content_hashes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    crops: Sequence[bytes | None] | None = None,
) -> list[int | None]:
    """Keep the probes that were answered with "unknown", and no others.

    Not kept is what cannot be compared, what an erasure closed, and what is enrolled already, also
    as an example of what to ignore or of what a class is not. The same content is kept once.

    Args:
        access: To the gallery.
        identifications: The answers about the probes, (Q,).
        embeddings: (Q, D), as they were asked about.
        content_hashes: SHA-256 of what was embedded, (Q,); None takes the embedding for it.
        names: What to call each, (Q,); None takes the names of the answers.
        crops: Encoded pictures, (Q,).

    Returns:
        The id under which each is kept, (Q,); None where it is not.

    Raises:
        InvalidInput: The shapes do not fit.
        GalleryError: The store cannot be written; nothing was kept.
    """
    binding = access.binding
    rows, refused = admit(check_shape(embeddings, binding.embedding_size), binding.distance)
    n = len(identifications)
    given = {"embeddings": rows, "content_hashes": content_hashes, "names": names, "crops": crops}
    for what, values in given.items():
        if values is not None and (isinstance(values, str) or len(values) != n):
            raise InvalidInput(f"expected {n} {what}, one per identification, got {len(values)}")
    hashes = contents_of(rows, content_hashes)
    unknown = [
        i for i, a in enumerate(identifications) if a.decision == "unknown" and not refused[i]
    ]
    kept: list[int | None] = [None] * n

    def work(writer: Writer) -> None:
        contents = [hashes[i] for i in unknown]
        closed = writer.suppressed(contents) | set(writer.find_content(contents))
        chosen = [i for i in unknown if hashes[i] not in closed]
        new = [
            NewUnknown(
                embedding=rows[i],
                content_hash=hashes[i],
                name=names[i] if names is not None else identifications[i].name,
                distance=_distance(identifications[i]),
                crop=crops[i] if crops is not None else None,
            )
            for i in chosen
        ]
        for i, row in zip(chosen, writer.add_unknowns(new), strict=True):
            kept[i] = row

    if unknown:
        access.change("keep", work)
    return kept


def proposals(access: Access) -> list[Proposal]:
    """Return the kept unknown probes in clusters, the largest first.

    Clusters are of complete linkage under the gallery's own threshold: all of a cluster would be
    given one name if one of them were enrolled. Every kept probe is in one, if only by itself; of
    more than 4,000 the latest 4,000 are looked at. Of clusters of the same size the tightest comes
    first.

    Raises:
        NotCalibrated: There is no threshold.
    """
    with access.fresh() as state, state.store.reading() as reader:
        rows = reader.unknowns()[-_MOST:]
        if not rows:
            return []
        embeddings = np.stack([row.embedding for row in rows])
        distances, cluster = clusters(state, embeddings)
        live = state.live
        found = closest_classes(live.searcher, live.members, embeddings)
        labels = [state.labels[c] if c >= 0 else None for c in found.class_ids[:, 0].tolist()]
        made = []
        for first in np.unique(cluster):
            at = np.flatnonzero(cluster == first)
            inside = distances[np.ix_(at, at)]
            nearest = int(at[np.argmin(found.distances[at, 0])])
            is_near = labels[nearest] is not None
            ids = tuple(rows[i].id for i in at)
            made.append(
                Proposal(
                    ids=ids,
                    names=tuple(rows[i].name for i in at),
                    middle=ids[int(inside.max(1).argmin())],
                    diameter=float(inside.max()),
                    closest_label=labels[nearest],
                    closest_distance=float(found.distances[nearest, 0]) if is_near else None,
                    command=commands.name_unknowns(str(access.location), ids),
                )
            )
    return sorted(made, key=lambda p: (-len(p), p.diameter, p.ids))


def clusters(state: State, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances between (N, D) probes, (N, N), and the cluster of each, (N,).

    Where nothing is enrolled, any distance would keep the promise to name no stranger; then the
    threshold is that of a gallery of one class, see `_limit_of_one_class`.

    Raises:
        NotCalibrated: There is no threshold.
    """
    limit = state.threshold.value if state.live.num_classes else _limit_of_one_class(state)
    wide = embeddings.astype(np.float64)
    apart = state.binding.distance.pairwise(wide, wide)
    distances = np.maximum(apart, apart.T)
    np.fill_diagonal(distances, 0.0)
    return distances, complete_linkage(distances, limit)


def _limit_of_one_class(state: State) -> float:
    """Return the threshold with each class of strangers asked about the next one alone."""
    calibrator, wanted = state.strangers(), state.settings
    embeddings = calibrator.embeddings[calibrator.is_kept].astype(np.float64)
    classes, of_row = np.unique(calibrator.groups[calibrator.is_kept], return_inverse=True)
    if len(classes) < 2:
        raise NotCalibrated(
            "nothing is enrolled and there are no two classes of strangers, so what is close is "
            "not known; enroll a class, or calibrate on strangers with `ilk gallery calibrate`"
        )
    rows = np.argsort(of_row, kind="stable")
    parts = np.split(rows, np.cumsum(np.bincount(of_row))[:-1])
    closest = np.empty(len(rows))
    for own, following in zip(parts, [*parts[1:], parts[0]], strict=True):
        apart = state.binding.distance.pairwise(embeddings[own], embeddings[following])
        closest[own] = apart.min(1)
    return StrangerDistances(closest, of_row).limit(wanted.target_fpir, wanted.confidence)


def name_unknowns(
    access: Access, ids: Iterable[int], label: str, guard: Guard = "warn"
) -> list[Enrollment]:
    """Enroll kept unknown probes as exemplars of a class, in one change that can be undone.

    Crop, content hash and name go with them. Those that are enrolled leave the inbox; those that
    are refused stay.

    Args:
        access: To the gallery.
        ids: Of the unknown probes.
        label: Of the class; it is made if it is not there.
        guard: As in `Gallery.enroll`.

    Returns:
        One `Enrollment` per id, ascending.

    Raises:
        InvalidInput: No unknown probe of one of the ids is kept, or the label is none.
        GalleryError: The store cannot be written; nothing was enrolled.
    """
    wanted, label = sorted(set(ids)), clean_label(label)

    def asked(reader: Reader) -> Candidates:
        rows = _rows(reader, wanted)
        return Candidates(
            labels=[label] * len(rows),
            embeddings=np.stack([row.embedding for row in rows]),
            names=[row.name for row in rows],
            content_hashes=[row.content_hash for row in rows],
            metadata=[{}] * len(rows),
            crops=[reader.unknown_crop(row.id) if row.has_crop else None for row in rows],
            refused=[""] * len(rows),
        )

    reasons = [""] * len(wanted)
    if guard != "off":
        with access.fresh() as state, state.store.reading() as reader:
            reasons = guard_reasons(state, asked(reader))

    def work(writer: Writer) -> list[Enrollment]:
        answers = enroll(writer, asked(writer).with_guard(reasons, guard))
        named = [i for i, answer in zip(wanted, answers, strict=True) if answer.is_enrolled]
        writer.update("unknown", named, "is_live", False)
        return answers

    return access.change("name", work)


def discard(writer: Writer, ids: Iterable[int]) -> None:
    """Let go of kept unknown probes; `undo` brings them back.

    Raises:
        InvalidInput: No unknown probe of one of the ids is kept.
    """
    rows = _rows(writer, sorted(set(ids)))
    writer.update("unknown", [row.id for row in rows], "is_live", False)


def _rows(reader: Reader, ids: list[int]) -> list[UnknownRow]:
    if not ids:
        raise InvalidInput("expected at least one unknown probe, got none")
    rows = reader.unknowns(ids)
    missing = sorted(set(ids) - {row.id for row in rows})
    if missing:
        raise InvalidInput(
            f"the gallery keeps no unknown probe {missing[0]}; `ilk unknown list` lists them"
        )
    return rows


def _distance(answer: Identification) -> float:
    return float("inf") if answer.distance is None else answer.distance
