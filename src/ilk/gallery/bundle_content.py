"""What is in a bundle, checked value by value: whoever made it may have meant harm.

Shapes: N exemplars, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar, final, get_args

import numpy as np

from ilk.errors import InvalidInput
from ilk.gallery.admission import admit
from ilk.gallery.binding import Binding
from ilk.gallery.bundle_file import BundleReader, damaged
from ilk.gallery.settings import Settings
from ilk.labels import clean_label, normal_label
from ilk.store import NewStranger, Role

__all__ = ["BundleContent", "BundleRow", "read_content"]

_T = TypeVar("_T")
_LONGEST_TEXT = 10_000
_SAME = 1e-5
"""By how much a kept row may differ from what the gallery would keep: a matter of rounding."""


@final
@dataclass(frozen=True)
class BundleRow:
    """One exemplar, without its embedding and its crop."""

    class_at: int | None
    """The position of its class."""
    role: Role
    name: str
    content_hash: str
    metadata: Mapping[str, Any]
    expires: str | None
    has_crop: bool


@final
@dataclass(frozen=True, eq=False)
class BundleContent:
    """Everything but the crops."""

    settings: Settings
    labels: Sequence[str]
    rows: Sequence[BundleRow]
    embeddings: np.ndarray
    """(N, D) float32, to the last bit as they were exported."""
    strangers: Sequence[NewStranger]


def read_content(bundle: BundleReader, binding: Binding) -> BundleContent:
    """Read a bundle whose contract is that of a binding.

    Raises:
        DamagedGallery: A value is not what it can be.
    """
    size = binding.embedding_size

    def checked(name: str, read: Callable[[Any], _T]) -> _T:
        try:
            return read(bundle.manifest["settings"] if name == "settings" else _json(bundle, name))
        except (InvalidInput, KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(bundle.path, f"{name} has what no gallery has ({error})") from error

    labels = checked("classes", lambda found: [clean_label(label) for label in _list(found)])
    if len(set(labels)) != len(labels):
        raise damaged(bundle.path, "two of its classes have one label")
    rows = checked("exemplars", lambda found: [_row(one, len(labels)) for one in _list(found)])
    heads = checked("strangers", lambda found: [_stranger(one) for one in _list(found)])
    embeddings = _kept(bundle, "embeddings.npy", (len(rows), size), binding)
    crops = {f"crops/{at}.webp" for at, row in enumerate(rows) if row.has_crop}
    if crops != {name for name in bundle.names if name.startswith("crops/")}:
        raise damaged(bundle.path, "its crops are not those of its exemplars")
    strangers = _kept(bundle, "strangers.npy", (len(heads), size), binding)
    return BundleContent(
        settings=checked("settings", Settings.from_store),
        labels=labels,
        rows=rows,
        embeddings=embeddings,
        strangers=[
            NewStranger(row, content_hash, group)
            for row, (content_hash, group) in zip(strangers, heads, strict=True)
        ],
    )


def _json(bundle: BundleReader, name: str) -> Any:
    return bundle.read_json(f"{name}.json")


def _kept(bundle: BundleReader, name: str, shape: tuple[int, int], binding: Binding) -> np.ndarray:
    """Read embeddings that are as galleries keep them."""
    rows = bundle.read_array(name, shape)
    admitted, reasons = admit(rows, binding.distance)
    for at, reason in enumerate(reasons):
        is_same = np.allclose(rows[at], admitted[at], rtol=_SAME, atol=_SAME)
        if reason or not is_same:
            why = reason or "it is not at unit length"
            raise damaged(bundle.path, f"row {at} of {name} cannot be kept: {why}")
    return rows


def _row(found: Any, num_classes: int) -> BundleRow:
    class_at, role = found["class"], found["role"]
    is_class = type(class_at) is int and 0 <= class_at < num_classes
    if role not in get_args(Role) or not (class_at is None if role == "ignore" else is_class):
        raise InvalidInput(f"class {class_at!r} with role {role!r}")
    if not isinstance(found["metadata"], dict):
        raise InvalidInput(f"metadata {found['metadata']!r:.80}")
    expires = found["expires"]
    return BundleRow(
        class_at=class_at,
        role=role,
        name=_text(found["name"]),
        content_hash=_text(found["content_hash"]),
        metadata=found["metadata"],
        expires=date.fromisoformat(expires).isoformat() if expires is not None else None,
        has_crop=found["has_crop"] is True,
    )


def _stranger(found: Any) -> tuple[str, str]:
    return _text(found["content_hash"]), normal_label(_text(found["group"]))


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidInput(f"a list was expected, got {type(found).__name__}")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str) or len(found) > _LONGEST_TEXT:
        raise InvalidInput(f"text was expected, got {found!r:.80}")
    found.encode()  # refuses half of a surrogate pair, which no store can keep
    return found
