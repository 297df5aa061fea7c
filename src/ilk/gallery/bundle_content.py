"""What is in a bundle, checked value by value: whoever made it may have meant harm.

Shapes: N exemplars, D embedding size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar, final, get_args

import numpy as np

from ilk.errors import InvalidInput
from ilk.gallery.admission import admit
from ilk.gallery.binding import Binding
from ilk.gallery.bundle_file import BundleReader, damaged
from ilk.gallery.settings import Settings
from ilk.labels import clean_label, normal_label
from ilk.store import NewStranger, NewUnknown, Role, normal_content

__all__ = ["BundleContent", "BundleRow", "Head", "read_closed", "read_content"]

_T = TypeVar("_T")
_MOST_IDS = 1 << 53
_NUM_HASH_BYTES = 32
_SAME = 1e-5
"""By how much a kept row may differ from what the gallery would keep: a matter of rounding."""


@final
@dataclass(frozen=True)
class Head:
    """Which row of a gallery one was."""

    id: int | None = None
    """None in a bundle without history."""
    is_live: bool = True


@final
@dataclass(frozen=True)
class BundleRow:
    """One exemplar, without its embedding and its crop."""

    at: int
    """Its position in the bundle."""
    head: Head
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
    """Everything but crops, closed content and the log."""

    settings: Settings
    labels: Sequence[str]
    class_heads: Sequence[Head]
    """Of each label."""
    rows: Sequence[BundleRow]
    embeddings: np.ndarray
    """(N, D) float32, to the last bit as they were exported."""
    strangers: Sequence[tuple[Head, NewStranger]]
    unknowns: Sequence[tuple[Head, NewUnknown]]

    def live(self) -> BundleContent:
        """Return what is live of it; labels keep their positions."""
        rows = [row for row in self.rows if row.head.is_live]
        at = [row.head.is_live for row in self.rows]
        return replace(
            self,
            rows=rows,
            embeddings=self.embeddings[np.array(at, bool)],
            strangers=[row for row in self.strangers if row[0].is_live],
            unknowns=[row for row in self.unknowns if row[0].is_live],
        )


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

    classes = checked("classes", lambda found: [_class(one) for one in _list(found)])
    labels = [label for _, label in classes]
    live = [label for head, label in classes if head.is_live]
    if len(set(live)) != len(live):
        raise damaged(bundle.path, "two of its classes have one label")
    rows = checked(
        "exemplars", lambda found: [_row(at, one, classes) for at, one in enumerate(_list(found))]
    )
    embeddings = _kept(bundle, "embeddings.npy", (len(rows), size), binding)
    strangers = checked("strangers", lambda found: [_stranger(one) for one in _list(found)])
    vectors = _kept(bundle, "strangers.npy", (len(strangers), size), binding)
    unknowns: list[Any] = []
    if "unknowns.json" in bundle.names:
        unknowns = checked("unknowns", lambda found: [_unknown(one) for one in _list(found)])
    probes = _kept(bundle, "unknowns.npy", (len(unknowns), size), binding) if unknowns else ()
    _check_crops(bundle, "crops", [row.has_crop for row in rows])
    _check_crops(bundle, "unseen", [has_crop for *_, has_crop in unknowns])
    return BundleContent(
        settings=checked("settings", Settings.from_store),
        labels=labels,
        class_heads=[head for head, _ in classes],
        rows=rows,
        embeddings=embeddings,
        strangers=[
            (head, NewStranger(row, content_hash, group))
            for row, (head, content_hash, group) in zip(vectors, strangers, strict=True)
        ],
        unknowns=[
            (head, NewUnknown(row, content_hash, name, distance, _crop(bundle, at, has_crop)))
            for at, (row, (head, content_hash, name, distance, has_crop)) in enumerate(
                zip(probes, unknowns, strict=True)
            )
        ],
    )


def read_closed(bundle: BundleReader) -> tuple[bytes, list[bytes]] | None:
    """Return the key of the gallery and what was closed under it, if anything was.

    Raises:
        DamagedGallery: A value is not what it can be.
    """
    if "closed.json" not in bundle.names:
        return None
    try:
        found = _json(bundle, "closed")
        key, *hashes = (bytes.fromhex(text) for text in (found["key"], *_list(found["hashes"])))
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise damaged(bundle.path, f"closed has what no gallery has ({error})") from error
    if {len(key), *map(len, hashes)} != {_NUM_HASH_BYTES}:
        raise damaged(bundle.path, "closed has a hash of another length")
    return key, hashes


def _check_crops(bundle: BundleReader, folder: str, has_crop: Sequence[bool]) -> None:
    told = {f"{folder}/{at}.webp" for at, has in enumerate(has_crop) if has}
    if told != {name for name in bundle.names if name.startswith(f"{folder}/")}:
        raise damaged(bundle.path, f"its {folder} are not those of its rows")


def _crop(bundle: BundleReader, at: int, has_crop: bool) -> bytes | None:
    return bundle.read(f"unseen/{at}.webp") if has_crop else None


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


def _head(found: Mapping[str, Any]) -> Head:
    number, is_live = found.get("id"), found.get("is_live", True)
    if not (number is None or (type(number) is int and 0 < number < _MOST_IDS)):
        raise InvalidInput(f"id {number!r:.80}")
    if type(is_live) is not bool or (number is None and not is_live):
        raise InvalidInput(f"is_live {is_live!r:.80}")
    return Head(number, is_live)


def _class(found: Any) -> tuple[Head, str]:
    if isinstance(found, str):
        return Head(), clean_label(found)
    return _head(found), clean_label(found["label"])


def _row(at: int, found: Any, classes: Sequence[tuple[Head, str]]) -> BundleRow:
    class_at, role, head = found["class"], found["role"], _head(found)
    is_class = type(class_at) is int and 0 <= class_at < len(classes)
    if role not in get_args(Role) or not (class_at is None if role == "ignore" else is_class):
        raise InvalidInput(f"class {class_at!r} with role {role!r}")
    if head.is_live and is_class and not classes[class_at][0].is_live:
        raise InvalidInput(f"exemplar {head.id} is live in a class that is not")
    if not isinstance(found["metadata"], dict):
        raise InvalidInput(f"metadata {found['metadata']!r:.80}")
    expires = found["expires"]
    return BundleRow(
        at=at,
        head=head,
        class_at=class_at,
        role=role,
        name=_text(found["name"]),
        content_hash=normal_content(_text(found["content_hash"])),
        metadata=found["metadata"],
        # once a time of day could come with it
        expires=date.fromisoformat(expires[:10]).isoformat() if expires is not None else None,
        has_crop=found["has_crop"] is True,
    )


def _stranger(found: Any) -> tuple[Head, str, str]:
    content_hash = normal_content(_text(found["content_hash"]))
    return _head(found), content_hash, normal_label(_text(found["group"]))


def _unknown(found: Any) -> tuple[Head, str, str, float, bool]:
    told = found["distance"]
    distance = math.inf if told is None else float(told)
    if not distance >= 0:
        raise InvalidInput(f"distance {told!r:.80}")
    content_hash, name = normal_content(_text(found["content_hash"])), _text(found["name"])
    return _head(found), content_hash, name, distance, found["has_crop"] is True


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidInput(f"a list was expected, got {type(found).__name__}")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise InvalidInput(f"text was expected, got {found!r:.80}")
    found.encode()  # refuses half of a surrogate pair, which no store can keep
    return found
