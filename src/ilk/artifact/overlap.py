"""Does an evaluation touch what the encoder was trained on?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from ilk.artifact.manifest import Manifest
from ilk.labels import normal_label

__all__ = ["Overlap", "class_hash", "find_overlap", "short_hash"]

_NUM_HEX = 16


@final
@dataclass(frozen=True)
class Overlap:
    """What a source has in common with what an encoder was trained on."""

    classes: tuple[str, ...]
    """Labels of training classes and of the held-out classes that chose the epoch, sorted."""
    items: tuple[int, ...]
    """Positions of items whose content was among the training or validation items, ascending."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.classes or self.items)


def class_hash(label: str) -> str:
    r"""Return what stands for a label in a manifest: 64 bits of its SHA-256, in hexadecimal.

    Two spellings that `ilk.labels` makes one label have one hash. A hash keeps names out of the
    artifact, but whoever can guess a name can confirm it.

    Example:
        >>> class_hash("caf\u00e9") == class_hash("cafe\u0301"), len(class_hash("a"))
        (True, 16)
    """
    normal = normal_label(label).encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"ilk class:" + normal).hexdigest()[:_NUM_HEX]


def short_hash(content_hash: str) -> str:
    """Return the first 64 bits of `Item.content_hash`, as manifests keep them."""
    return content_hash[:_NUM_HEX]


def find_overlap(manifest: Manifest, labels: Iterable[str], hashes: Iterable[str]) -> Overlap:
    """Return which classes and items of a source the encoder has seen.

    Args:
        manifest: Of the artifact under evaluation.
        labels: The labels of the source; repeats do not matter.
        hashes: `Item.content_hash` of each item, in the order of the items.
    """
    classes = {*manifest.training_classes, *manifest.validation_classes}
    items = frozenset(manifest.item_hashes)
    return Overlap(
        classes=tuple(sorted(label for label in set(labels) if class_hash(label) in classes)),
        items=tuple(i for i, content in enumerate(hashes) if short_hash(content) in items),
    )
