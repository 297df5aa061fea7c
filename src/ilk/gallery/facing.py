"""What all parts of a gallery's face share: the access, and the check of whose embeddings come."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from ilk.gallery.access import Access
from ilk.gallery.admission import admit, check_shape
from ilk.store import Writer

__all__ = ["Facing", "bound"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_F = TypeVar("_F", bound="Facing")


def bound(method: Callable[Concatenate[_F, _P], _R]) -> Callable[Concatenate[_F, _P], _R]:
    """Refuse embeddings to a gallery that was moved to another encoder since its last call."""

    @wraps(method)
    def kept(self: _F, /, *args: _P.args, **options: _P.kwargs) -> _R:
        with self.access.only_for(self.access.binding.encoder_fingerprint):
            return method(self, *args, **options)

    return kept


class Facing:
    """One part of what `Gallery` offers; only `Gallery` is made."""

    access: Access

    def _change(self, action: str, work: Callable[[Writer], None]) -> int:
        """Do `work` in one change and return its id."""

        def numbered(writer: Writer) -> int:
            work(writer)
            return writer.change_id

        return self.access.change(action, numbered)

    def _admit(self, probes: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return (Q, D) probes as the gallery compares them, and why each is refused or ""."""
        binding = self.access.binding
        return admit(check_shape(probes, binding.embedding_size), binding.distance)
