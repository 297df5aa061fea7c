"""Answers and changes as plain JSON values: keys that docs/json.md describes and a test holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilk.detector import Region
    from ilk.results import (
        Candidate,
        Enrollment,
        Identification,
        PictureAnswer,
        Verification,
    )
    from ilk.store import ChangeRow, Erased, ExemplarRow
    from ilk.thresholds import Threshold

__all__ = [
    "NOT_REACHED",
    "SCHEMA_VERSION",
    "change_rows",
    "document",
    "enrollment",
    "exemplar",
    "identification",
    "number",
    "pictures",
    "receipt",
    "region_facts",
    "threshold_facts",
    "verification",
]

SCHEMA_VERSION = 1
"""Grows when a key is taken away or comes to mean something else; new keys may come without."""


def document(schema: str, **content: Any) -> dict[str, Any]:
    """Return one document with its head.

    Example:
        >>> document("nothing")
        {'schema': 'ilk.nothing', 'schema_version': 1}
    """
    return {"schema": f"ilk.{schema}", "schema_version": SCHEMA_VERSION, **content}


def number(value: float | None) -> float | None:
    """Return what JSON can hold: nothing for what is infinite or no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def threshold_facts(threshold: Threshold | None) -> dict[str, Any] | None:
    """Return a threshold with its provenance."""
    if threshold is None:
        return None
    return {
        "value": number(threshold.value),
        "distance": threshold.distance,
        "target_fpir": threshold.target_fpir,
        "basis": threshold.basis,
        "num_trials": threshold.num_trials,
        "num_classes": threshold.num_classes,
        "num_named": threshold.num_named,
        "measured_fpir": threshold.measured_fpir,
        "interval": None if threshold.interval is None else list(threshold.interval),
        "level": threshold.level,
        "confidence": threshold.confidence,
        "gallery_size": threshold.gallery_size,
        "fingerprint": threshold.fingerprint,
    }


def region_facts(region: Region | None) -> dict[str, Any] | None:
    """Return where in a picture a probe is, and how good it is."""
    if region is None:
        return None
    quality = region.quality
    return {
        "box": [number(value) for value in region.box],
        "landmarks": [[number(x), number(y)] for x, y in region.landmarks],
        "score": number(region.score),
        "quality": None
        if quality is None
        else {
            "size_pixels": number(quality.size_pixels),
            "sharpness": number(quality.sharpness),
            "turned_degrees": number(quality.turned_degrees),
            "tilted_degrees": number(quality.tilted_degrees),
            "brightness": number(quality.brightness),
        },
    }


def identification(
    answer: Identification, names: Mapping[int, str], unknown_id: int | None = None
) -> dict[str, Any]:
    """Return the answer about one probe, with the names of the exemplars behind it."""
    return {
        "name": answer.name,
        "decision": answer.decision,
        "label": answer.label,
        "reason": answer.reason,
        "distance": number(answer.distance),
        "p_value": number(answer.p_value),
        "candidates": [_candidate(candidate, names) for candidate in answer.candidates],
        "unknown_id": unknown_id,
        "code": answer.code,
        "region": region_facts(answer.region),
    }


def pictures(answers: Iterable[PictureAnswer]) -> list[dict[str, Any]]:
    """Return what each picture holds, with the places of its answers in the flat list of all."""
    listed: list[dict[str, Any]] = []
    first = 0
    for picture in answers:
        last = first + len(picture.answers)
        listed.append(
            {
                "name": picture.name,
                "num_regions": sum(answer.region is not None for answer in picture.answers),
                "num_compared": picture.num_compared,
                "most_false_names": number(picture.most_false_names),
                "answers": list(range(first, last)),
            }
        )
        first = last
    return listed


def _candidate(candidate: Candidate, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "label": candidate.label,
        "distance": number(candidate.distance),
        "exemplars": [{"id": i, "name": names.get(i, "")} for i in candidate.exemplars],
    }


def verification(answer: Verification) -> dict[str, Any]:
    """Return the answer to "is this probe of that class?"."""
    return {
        "name": answer.name,
        "label": answer.label,
        "is_accepted": answer.is_accepted,
        "reason": answer.reason,
        "distance": number(answer.distance),
        "p_value": number(answer.p_value),
        "code": answer.code,
        "region": region_facts(answer.region),
    }


def enrollment(answer: Enrollment) -> dict[str, Any]:
    """Return what became of one item."""
    return {
        "name": answer.name,
        "label": answer.label,
        "is_enrolled": answer.is_enrolled,
        "exemplar_id": answer.exemplar_id,
        "reason": answer.reason,
        "code": answer.code,
    }


def exemplar(row: ExemplarRow, crop: str | None = None) -> dict[str, Any]:
    """Return one exemplar, with the path that its crop was written to."""
    return {
        "id": row.id,
        "role": row.role,
        "name": row.name,
        "content_hash": row.content_hash,
        "time": row.time,
        "metadata": dict(row.metadata),
        "expires": row.expires,
        "has_crop": row.has_crop,
        "crop": crop,
    }


def change_rows(changes: Iterable[ChangeRow]) -> list[dict[str, Any]]:
    """Return rows of the log."""
    return [
        {
            "id": change.id,
            "time": change.time,
            "actor": change.actor,
            "action": change.action,
            "call": change.call,
            "undoes": change.undoes,
            "is_erased": change.is_erased,
            "effects": [
                {
                    "table": effect.table,
                    "field": effect.field,
                    "before": effect.before,
                    "after": effect.after,
                    "rows": [list(ends) for ends in effect.rows],
                }
                for effect in change.effects
            ],
        }
        for change in changes
    ]


NOT_REACHED = (
    "files that `ilk gallery export` wrote, and other copies of the gallery",
    "reports, contact sheets, drawings and crops that were written to folders",
    "artifacts outside of the gallery, whose cohorts may hold embeddings of it",
    "the pictures themselves, and caches of other machines and users",
)
"""Where there may be more of what was erased, out of ilk's reach."""


def receipt(erased: Erased) -> dict[str, Any]:
    """Return the receipt of an erasure."""
    return {
        "change_id": erased.change_id,
        "time": erased.time,
        "num_classes": erased.num_classes,
        "num_exemplars": erased.num_exemplars,
        "num_unknowns": erased.num_unknowns,
        "num_strangers": erased.num_strangers,
        "num_changes": erased.num_changes,
        "digest": erased.digest,
        "not_reached": list(NOT_REACHED),
    }
