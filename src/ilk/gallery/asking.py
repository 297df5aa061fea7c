"""The questions to a gallery: who is it, is it that one.

Shapes: Q probes, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ilk.doors import doors
from ilk.gallery import changes
from ilk.gallery.deciding import Deciding
from ilk.gallery.facing import Facing, bound
from ilk.gallery.verifying import verify
from ilk.results import Identification, Verification

__all__ = ["Asking"]


@doors
class Asking(Facing):
    """Identify and verify."""

    @bound
    def identify(
        self, probes: np.ndarray, *, num_candidates: int = 5, names: Sequence[str] | None = None
    ) -> list[Identification]:
        """Name the class of each of the (Q, D) probes, or say why not.

        A class is as far from a probe as its closest template. The closest class is the answer if
        the threshold accepts its distance and no second class is as good as equally close.

        Raises:
            NotCalibrated: There is no threshold.
            InvalidInput: The shape does not fit.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            called = list(names) if names is not None else [""] * len(rows)
            return Deciding(state).identify(rows, reasons, called, num_candidates)

    @bound
    def identify_set(
        self, probes: np.ndarray, *, num_candidates: int = 5, name: str = ""
    ) -> Identification:
        """Give one answer about several pictures of one thing, (Q, D).

        Pictures that cannot be assessed are left out. The promised rate holds for the set.

        Raises:
            NotCalibrated: There is no threshold.
            InvalidInput: The shape does not fit.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            return Deciding(state).identify_set(rows, reasons, name, num_candidates)

    @bound
    def verify(
        self,
        label: str,
        probes: np.ndarray,
        *,
        target_fmr: float = 0.01,
        names: Sequence[str] | None = None,
    ) -> list[Verification]:
        """Say for each of the (Q, D) probes whether it is of a class.

        At most a share `target_fmr` of strangers is accepted as this class.

        Raises:
            NoSuchClass: The gallery has no such class.
            NotCalibrated: The calibration strangers cannot carry the rate.
        """
        rows, reasons = self._admit(probes)
        with self.access.fresh() as state:
            with state.store.reading() as reader:
                class_id = changes.class_of(reader, label).id
            called = list(names) if names is not None else [""] * len(rows)
            return verify(state, class_id, rows, reasons, called, target_fmr)
