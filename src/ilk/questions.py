"""The questions to a recognizer: what is in these pictures, is it that class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ilk.bound_encoder import Progress, Source, as_item
from ilk.crops import crop_of
from ilk.detecting import Choice, crops_of
from ilk.detector import Detector
from ilk.doors import doors
from ilk.embedding import Embedded
from ilk.encoder import Encoder
from ilk.gallery import Gallery
from ilk.gallery.deciding import not_assessable
from ilk.items import Item, Items
from ilk.recognizing import Desk, identify_items, identify_pictures, verify_items
from ilk.results import Identification, PictureAnswer, Verification

__all__ = ["Questions"]


@doors
class Questions:
    """Identify and verify."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def gallery(self) -> Gallery:
        """Where classes are enrolled."""
        return self._desk.gallery

    @property
    def encoder(self) -> Encoder:
        """What embeds."""
        return self._desk.bound.encoder

    @property
    def detector(self) -> Detector:
        """What finds probes in pictures."""
        return self._desk.detector

    def identify(
        self,
        sources: Iterable[Source],
        *,
        num_candidates: int = 5,
        choice: Choice = "all",
        progress: Progress | None = None,
    ) -> list[Identification]:
        """Answer about each region of each source; what cannot be compared is "not assessable".

        With the whole picture as the probe, that is one answer per source.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        pictures = self.identify_pictures(
            sources, num_candidates=num_candidates, choice=choice, progress=progress
        )
        return [answer for picture in pictures for answer in picture.answers]

    def identify_pictures(
        self,
        sources: Iterable[Source],
        *,
        num_candidates: int = 5,
        choice: Choice = "all",
        keep_unknown: bool = False,
        keep_crops: bool = False,
        progress: Progress | None = None,
    ) -> list[PictureAnswer]:
        """Answer like `identify`, picture by picture.

        Args:
            sources: Files, pixels or items; the box of an item says where in it to look.
            num_candidates: How many of the closest classes to give with each answer.
            choice: What of several regions in a picture: each, the largest, or none of them.
            keep_unknown: Keep the unknown probes for a person to name.
            keep_crops: Keep a small picture of each of these, too.
            progress: Called with pictures done and in all.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        return identify_pictures(
            self._desk,
            [as_item(source) for source in sources],
            num_candidates,
            choice,
            progress,
            keep=keep_unknown,
            keep_crops=keep_crops,
        )

    def names_behind(self, answers: Iterable[Identification]) -> dict[int, str]:
        """Return what the exemplars behind the candidates are called, by id: usually their paths.

        Those that were taken out since are named, too.
        """
        ids = {i for answer in answers for c in answer.candidates for i in c.exemplars}
        with self.gallery.access.reading() as reader:
            return {row.id: row.name for row in reader.exemplars(ids=ids, is_live=None)}

    def identify_set(
        self,
        sources: Iterable[Source],
        *,
        num_candidates: int = 5,
        choice: Choice = "only",
        name: str = "",
    ) -> Identification:
        """Give one answer about several pictures of one thing; unusable ones are left out.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        pictures = Items(tuple(map(as_item, sources)))
        crops = crops_of(self.detector, pictures, choice)

        def ask(embedded: Embedded) -> Identification:
            if not len(embedded):
                problems = [f"{p.name}: {p.reason}" for p in embedded.items.problems]
                return not_assessable(problems[0] if problems else "the set has no pictures", name)
            return self.gallery.identify_set(
                embedded.embeddings, num_candidates=num_candidates, name=name
            )

        return self._desk.bound.embed(crops, ask)

    def identify_crops(
        self, crops: Sequence[np.ndarray], *, num_candidates: int = 5, names: Sequence[str] = ()
    ) -> list[Identification]:
        """Answer about regions that were cut out already, as the detector's `crop` does.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """
        called = names or [""] * len(crops)
        items = [Item(crop, "", name) for crop, name in zip(crops, called, strict=True)]
        return [answer for answer, _ in identify_items(self._desk, items, num_candidates)]

    def identify_crop_set(
        self, crops: Sequence[np.ndarray], *, num_candidates: int = 5, name: str = ""
    ) -> Identification:
        """Give one answer about several regions of one thing that were cut out already.

        One crop is asked about by itself, as `identify_crops` does. Crops that cannot be embedded
        are left out.

        Raises:
            NotCalibrated: The gallery has no threshold.
        """

        def ask(embedded: Embedded) -> Identification:
            if not len(embedded):
                problems = [problem.reason for problem in embedded.items.problems]
                return not_assessable(problems[0] if problems else "the set has no pictures", name)
            rows = embedded.embeddings
            if len(rows) > 1:
                return self.gallery.identify_set(rows, num_candidates=num_candidates, name=name)
            return self.gallery.identify(rows, num_candidates=num_candidates, names=[name])[0]

        items = Items(tuple(Item(crop, "", name) for crop in crops))
        return self._desk.bound.embed(items, ask)

    def crop_distances(
        self, first: Sequence[np.ndarray], second: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return how far apart regions that were cut out look, (k, n); no gallery is asked.

        NaN stands for regions that cannot be embedded.

        Args:
            first: k regions.
            second: n regions.
        """
        items = [Item(crop, "", str(at)) for at, crop in enumerate([*first, *second])]

        def measure(embedded: Embedded) -> np.ndarray:
            rows = np.full((len(items), self.encoder.embedding_size), np.nan)
            for item, row in zip(embedded.items.items, embedded.embeddings, strict=True):
                rows[int(item.name)] = row
            found = np.full((len(first), len(second)), np.nan)
            known = ~np.isnan(rows).any(axis=1)
            here, there = known[: len(first)], known[len(first) :]
            distance = self.gallery.binding.distance
            found[np.ix_(here, there)] = distance.pairwise(
                rows[: len(first)][here], rows[len(first) :][there]
            )
            return found

        return self._desk.bound.embed(Items(tuple(items)), measure)

    def keep_unknown(
        self, crops: Sequence[np.ndarray], answers: Sequence[Identification]
    ) -> list[int | None]:
        """Keep crops that were answered with "unknown", with their pixels, for a person to name.

        Args:
            crops: Regions that were cut out, one per answer; of a set the one to show.
            answers: About them; their names are kept, too.

        Returns:
            The id under which each is kept; None where it is not.
        """
        items = [Item(c, "", a.name) for c, a in zip(crops, answers, strict=True)]
        about = {id(item): answer for item, answer in zip(items, answers, strict=True)}

        def keep(embedded: Embedded) -> list[int | None]:
            kept = embedded.items.items
            return self.gallery.keep_unknown(
                [about[id(item)] for item in kept],
                embedded.embeddings,
                content_hashes=embedded.hashes,
                crops=[crop_of(item) for item in kept],
            )

        return self._desk.bound.ask(items, keep, lambda item, problem: None)

    def verify(
        self,
        label: str,
        sources: Iterable[Source],
        *,
        target_fmr: float = 0.01,
        choice: Choice = "only",
    ) -> list[Verification]:
        """Say for each source whether it is of a class.

        Raises:
            NoSuchClass: The gallery has no such class.
            NotCalibrated: The calibration strangers cannot carry the rate.
        """
        items = [as_item(source) for source in sources]
        return verify_items(self._desk, label, items, target_fmr, choice)
