"""Which embeddings a gallery lets in, and in which form it keeps them.

Shapes: N embeddings, D embedding size.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np

from ilk.distances import Cosine, Distance
from ilk.errors import InvalidInput

__all__ = ["admit", "check_shape", "iso_date", "over", "this_day"]

_LONGEST = 1e15
"""Squares of longer embeddings overflow float32."""


def check_shape(embeddings: np.ndarray, embedding_size: int) -> np.ndarray:
    """Return embeddings as an (N, D) array of floats; one embedding becomes a row.

    Raises:
        InvalidInput: The shape or dtype is another.
    """
    rows = np.asarray(embeddings)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != embedding_size or rows.dtype.kind not in "fiu":
        raise InvalidInput(
            f"expected embeddings of shape (N, {embedding_size}) and a number type, got "
            f"{np.asarray(embeddings).shape} {np.asarray(embeddings).dtype}"
        )
    return rows


def admit(embeddings: np.ndarray, distance: Distance) -> tuple[np.ndarray, list[str]]:
    """Return the (N, D) float32 rows as they are kept, and for each why it is refused or "".

    Where only the direction counts, a row is kept at unit length. A refused row is returned as
    zeros.

    Example:
        >>> rows, reasons = admit(np.array([[3.0, 4.0], [np.nan, 1.0]]), Cosine())
        >>> rows[0].round(2).tolist(), reasons
        ([0.6000000238418579, 0.800000011920929], ['', 'the embedding is not finite'])
    """
    wide = embeddings.astype(np.float64, order="C")
    size = np.abs(wide).max(1, initial=0)
    needs_direction = isinstance(distance, Cosine)
    is_fit = (size <= _LONGEST) & (size > 0) if needs_direction else size <= _LONGEST
    reasons = [""] * len(wide)
    if not is_fit.all():
        wide[~is_fit] = 0.0
        for i in np.flatnonzero(~is_fit).tolist():
            reasons[i] = _why_not(embeddings[i])
    keys = distance.search_keys(wide) if needs_direction else wide
    return keys.astype(np.float32), reasons


def _why_not(embedding: np.ndarray) -> str:
    """Return in words why an embedding is not fit."""
    if not np.isfinite(embedding).all():
        return "the embedding is not finite"
    if not embedding.any():
        return "the embedding is zero and has no direction"
    return f"the embedding has numbers above {_LONGEST:g}"


def this_day() -> str:
    """Return today's date as retention dates are kept: ISO 8601, UTC."""
    return datetime.now(UTC).date().isoformat()


def iso_date(day: date | None) -> str | None:
    """Return a date as galleries keep it; a time of day is left out.

    Raises:
        InvalidInput: It is no date.

    Example:
        >>> iso_date(datetime(2030, 1, 2, 23, 59)), iso_date(None)
        ('2030-01-02', None)
    """
    if day is not None and not isinstance(day, date):
        raise InvalidInput(f"expected a datetime.date or None, got {day!r}")
    return None if day is None else day.isoformat()[:10]


def over(expires: str | None) -> str:
    """Return why something may not be kept any more; "" if it may."""
    if expires is None or expires[:10] > this_day():
        return ""
    return f"its retention date {expires[:10]} has come, so it may not be kept"
