"""Distance: what every geometry offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

from ilk.distances.arrays import Array, at_least_float32, full_precision
from ilk.doors import doors
from ilk.errors import InvalidInput

__all__ = ["Distance"]


@doors
class Distance(ABC):
    """How far apart two embeddings are: never negative, 0 for the same, smaller is closer.

    Half-precision inputs are raised to float32 and automatic mixed precision is switched off
    inside: bfloat16 moves cosine distances by 0.004, more than thresholds can bear.
    """

    name: str
    """What configs and manifests call it."""

    upper: float
    """The largest value that can occur."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that `distance_from_settings` needs to make this distance again."""
        return {"name": self.name}

    @final
    def pairwise(self, probes: Array, references: Array) -> Array:
        """Return the (Q, R) distances between (Q, D) probes and (R, D) references.

        Gradients flow if the inputs carry them, and are finite everywhere.

        Raises:
            InvalidInput: The embedding sizes D differ, or an input is not 2-D.

        Example:
            >>> Euclidean().pairwise(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
            array([[5., 0.]])
        """
        if probes.ndim != 2 or references.ndim != 2 or probes.shape[1] != references.shape[1]:
            raise InvalidInput(
                f"probes {tuple(probes.shape)} and references {tuple(references.shape)} "
                "must be 2-D with the same D"
            )
        with full_precision(probes):
            return self._pairwise(at_least_float32(probes), at_least_float32(references))

    @final
    def paired(self, first: Array, second: Array) -> Array:
        """Return the (N,) distances between row i of (N, D) `first` and row i of `second`.

        Slower per pair than `pairwise` and free of its cancellation, so a row's value never
        depends on what else is in the batch.

        Raises:
            InvalidInput: The shapes differ, or an input is not 2-D.

        Example:
            >>> Cosine().paired(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]))
            array([1.])
        """
        if first.ndim != 2 or tuple(first.shape) != tuple(second.shape):
            raise InvalidInput(
                f"first {tuple(first.shape)} and second {tuple(second.shape)} "
                "must be 2-D with the same shape (N, D)"
            )
        with full_precision(first):
            return self._paired(at_least_float32(first), at_least_float32(second))

    @final
    def to_all(self, probe: Array, references: Array) -> Array:
        """Return the (R,) distances of a (D,) probe to (R, D) references, as `paired` gives them.

        The same numbers to the last bit; what is the same for all pairs is computed once.

        Raises:
            InvalidInput: The shapes are others, or the embedding sizes D differ.

        Example:
            >>> Euclidean().to_all(np.array([0.0, 0.0]), np.array([[3.0, 4.0], [0.0, 1.0]]))
            array([5., 1.])
        """
        if probe.ndim != 1 or references.ndim != 2 or probe.shape[0] != references.shape[1]:
            raise InvalidInput(
                f"expected a probe (D,) and references (R, D), got {tuple(probe.shape)} and "
                f"{tuple(references.shape)}"
            )
        with full_precision(probe):
            return self._paired(at_least_float32(probe)[None], at_least_float32(references))

    @abstractmethod
    def search_keys(self, references: Array) -> Array:
        """Return the (R, K) rows to store, so that the largest inner product is the closest."""

    @abstractmethod
    def search_queries(self, probes: Array) -> Array:
        """Return the (Q, K) rows to look up among `search_keys`."""

    @abstractmethod
    def _pairwise(self, probes: Array, references: Array) -> Array: ...

    @abstractmethod
    def _paired(self, first: Array, second: Array) -> Array:
        """Compare row with row; a `first` of one row is compared with each of `second`."""

    @final
    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.settings.items() if k != "name")
        return f"{type(self).__name__}({options})"

    @final
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distance) and self.settings == other.settings

    @final
    def __hash__(self) -> int:
        return hash(tuple(sorted(self.settings.items())))
