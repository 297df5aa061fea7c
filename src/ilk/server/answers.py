"""What the page is told: documents about pictures and the gallery, made by one recognizer."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from ilk.detecting import sight
from ilk.detector import Region
from ilk.documents import document, enrollment, identification, threshold_facts
from ilk.errors import InvalidInput, NotCalibrated
from ilk.gallery.deciding import not_assessable
from ilk.images import Box, read_image
from ilk.items import Item, Items
from ilk.labels import clean_label
from ilk.recognizer import Recognizer
from ilk.results import PictureAnswer
from ilk.server.admission import MAX_BYTES, Refusal
from ilk.words import told_picture_promise, told_promise, told_threshold

__all__ = ["Answers"]

_AT_ONCE = 4
"""Pictures that are decoded and looked at together: bounds the memory."""
_PATIENCE_SECONDS = 30.0
_MOST_LABELS = 2_000
"""Classes that the page lists."""
_NO_THRESHOLD = "the gallery is not calibrated, so nothing can be named"


@final
class Answers:
    """The questions of a page to a recognizer. Safe to call from several threads."""

    def __init__(self, recognizer: Recognizer, *, keep_crops: bool = False) -> None:
        """Take what answers, and whether enrolling keeps a small picture of each.

        Raises:
            InvalidInput: The gallery's encoder takes no pictures.
        """
        modality = recognizer.encoder.preprocess.modality
        if modality != "image":
            raise InvalidInput(
                f"the page takes pictures, and this gallery's encoder takes {modality}s; use "
                "`ilk enroll` and `ilk identify`"
            )
        self._recognizer, self._keep_crops = recognizer, keep_crops
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._calls: set[str] = set()

    @property
    def name(self) -> str:
        """What the gallery is called: its folder."""
        return Path(str(self._recognizer.gallery.access.location)).resolve().name

    @contextmanager
    def room(self) -> Iterator[None]:
        """Wait for one's turn.

        Raises:
            Refusal: It takes too long.
        """
        if not self._room.acquire(timeout=_PATIENCE_SECONDS):
            raise Refusal(503, "busy", "too many pictures are being looked at", "Try again.")
        try:
            yield
        finally:
            self._room.release()

    def close(self) -> None:
        """Wait a while for what is being answered, so that nothing is cut off."""
        end = time.monotonic() + _PATIENCE_SECONDS
        taken = [
            self._room.acquire(timeout=max(0.0, end - time.monotonic())) for _ in range(_AT_ONCE)
        ]
        for _ in filter(None, taken):
            self._room.release()

    def gallery(self) -> dict[str, Any]:
        """Return who is enrolled, and what is promised."""
        gallery, detector = self._recognizer.gallery, self._recognizer.detector
        rows = [row for row in gallery.labels() if row.num_exemplars]
        threshold, promise, told, reason = None, "", "", ""
        try:
            threshold = gallery.threshold
            promise = _sentence(told_promise(threshold, detector.noun))
            told = f"Names are given up to a distance of {told_threshold(threshold)}."
        except NotCalibrated as error:
            reason = str(error)
        return document(
            "page.gallery",
            name=self.name,
            noun=detector.noun,
            is_whole=detector.is_whole,
            keeps_crops=self._keep_crops,
            max_bytes=MAX_BYTES,
            num_classes=len(rows),
            classes=[{"label": r.label, "num": r.num_exemplars} for r in rows[:_MOST_LABELS]],
            threshold=threshold_facts(threshold),
            promise=promise,
            told=told,
            reason=reason,
        )

    def identify(self, content: bytes, name: str) -> dict[str, Any]:
        """Answer about every region of a picture.

        Raises:
            UnreadableItem: The bytes are no picture.
        """
        pixels = read_image(content, name=name)
        item = Item(pixels, "", name)
        try:
            (answer,) = self._recognizer.identify_pictures([item])
        except NotCalibrated:
            answer = self._only_found(item)
        threshold = next((a.threshold for a in answer.answers if a.threshold is not None), None)
        names = self._recognizer.names_behind(answer.answers)
        return document(
            "page.identify",
            name=name,
            height=pixels.shape[0],
            width=pixels.shape[1],
            answers=[identification(a, names) for a in answer.answers],
            threshold=threshold_facts(threshold),
            num_compared=answer.num_compared,
            most_false_names=answer.most_false_names,
            promises=self._promises(answer),
        )

    def enroll(self, content: bytes, name: str, label: str, box: Box | None) -> dict[str, Any]:
        """Enroll one region of a picture: the one in the box, else the only one.

        Raises:
            UnreadableItem: The bytes are no picture.
            InvalidInput: The label is none, or the box holds nothing of the picture.
        """
        label = clean_label(label)
        pixels = read_image(content, name=name)
        if box is not None:
            _check_box(box, pixels.shape[1], pixels.shape[0])
        call = f"page-{secrets.token_hex(8)}"
        items = Items((Item(pixels, label, name, box=box),))
        (answer,) = self._recognizer.enroll(
            items, choice="only", keep_crops=self._keep_crops, call=call
        )
        if answer.is_enrolled:
            self._calls.add(call)
        return document("page.enroll", call=call, answer=enrollment(answer))

    def undo(self, call: str) -> dict[str, Any]:
        """Take an enrollment of this page back.

        Raises:
            Refusal: It is not of this page, or is taken back already.
            UndoConflict: A later change stands in the way.
        """
        if call not in self._calls:
            raise Refusal(
                409,
                "nothing_to_undo",
                "that was not enrolled from this page, or is taken back already",
                "`ilk gallery history` lists all changes, `ilk gallery undo` undoes one.",
            )
        self._recognizer.gallery.undo_call(call)
        self._calls.discard(call)
        return document("page.undo", call=call)

    def _only_found(self, item: Item) -> PictureAnswer:
        """Return what is in a picture, where nothing can be said about who it is."""
        detector = self._recognizer.detector
        if detector.is_whole:
            sightings: list[tuple[Region | None, str, str, str]] = [(None, item.name, "", "")]
        else:
            found = next(iter(sight(detector, [item])))
            sightings = [(s.region, s.name, s.code, s.reason) for s in found]
        answers = tuple(
            replace(
                not_assessable(why or _NO_THRESHOLD, name),
                region=region,
                code=code or "not_calibrated",
            )
            for region, name, code, why in sightings
        )
        return PictureAnswer(name=item.name, answers=answers)

    def _promises(self, answer: PictureAnswer) -> list[str]:
        """Return what is promised of each region, and of the picture if it has several."""
        noun, most = self._recognizer.detector.noun, answer.most_false_names
        told = next((a.threshold for a in answer.answers if a.threshold is not None), None)
        if told is None or most is None:
            return []
        promises = [_sentence(told_promise(told, noun))]
        if answer.num_compared > 1:
            promises.append(_sentence(told_picture_promise(answer.num_compared, most, noun)))
        return promises


def _check_box(box: Box, width: int, height: int) -> None:
    x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2 and x2 > 0 and y2 > 0 and x1 < width and y1 < height):
        raise InvalidInput(
            f"expected a box x1, y1, x2, y2 in the picture of {width} x {height}, got {box}"
        )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
