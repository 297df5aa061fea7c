"""The network that finds faces, run by OpenCV, and what it says as rows of numbers.

Shapes: M finds. A row is x1, y1, x2, y2, five landmarks as x and y, and the score: 15 numbers.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from ilk.errors import DamagedArtifact, MissingExtra, UnreadableItem

__all__ = ["ROW", "YuNet", "merged", "overlaps"]

ROW = 15
"""How many numbers a find has."""

_SAME_FACE = 0.3
"""Finds that overlap by this share of what they cover together are of one face."""
_VOTES = 0.6
"""Finds that overlap the best one by this share have a say in where the face is."""
_MOST_FINDS = 20_000


@final
class YuNet:
    """Finds faces between about 10 and 300 pixels wide. Safe to call from several threads.

    Wu et al., "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 2023.

    Args:
        content: The file of the network, in ONNX form.

    Raises:
        MissingExtra: OpenCV is not installed, or not in a version that can run the file.
        DamagedArtifact: OpenCV cannot read the file.
    """

    def __init__(self, content: bytes) -> None:
        self._cv2 = _opencv()
        self._content = np.frombuffer(content, np.uint8)
        self._idle = [self._made()]
        """As many as ever ran at once, for the next thread that comes: making one takes longer
        than looking at a small picture."""

    def finds(self, image: np.ndarray, min_score: float) -> np.ndarray:
        """Return (M, 15) finds in an (H, W, 3) uint8 picture, several of each face.

        Args:
            image: Red, green, blue.
            min_score: Finds below it are left out.

        Raises:
            UnreadableItem: OpenCV fails, for want of memory for instance.
        """
        height, width = image.shape[:2]
        try:
            network = self._idle.pop()
        except IndexError:  # all are running
            network = self._made()
        try:
            network.setInputSize((width, height))
            network.setScoreThreshold(min_score)
            _, found = network.detect(np.ascontiguousarray(image[:, :, ::-1]))
        except self._cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            raise UnreadableItem(f"OpenCV failed looking for faces: {reason}") from None
        self._idle.append(network)
        if found is None:
            return np.zeros((0, ROW))
        # boxes are exponentials, which pictures that show nothing drive out of all bounds
        is_box = np.isfinite(found).all(1) & (found[:, 2:4] >= 1).all(1)
        is_box &= (found[:, 2:4] <= 4 * max(height, width)).all(1)
        rows = found[is_box].astype(np.float64)
        rows[:, 2:4] += rows[:, :2]
        return rows

    def _made(self) -> Any:
        try:
            return self._cv2.FaceDetectorYN.create(
                "onnx",
                self._content,
                np.zeros(0, np.uint8),
                (32, 32),
                0.5,
                1.0,
                _MOST_FINDS,
            )
        except self._cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            raise DamagedArtifact(
                f"OpenCV {self._cv2.__version__} cannot read the network YuNet: {reason}; "
                "remove its file from the cache, so that it is fetched again"
            ) from None


def overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the area that each of (M, 4) boxes has in common with one, over that of both, (M,).

    Example:
        >>> overlaps(np.array([[0.0, 0, 2, 2], [1, 0, 3, 2]]), np.array([0.0, 0, 2, 2])).round(2)
        array([1.  , 0.33])
    """
    common = np.minimum(boxes[:, 2:4], box[2:4]) - np.maximum(boxes[:, :2], box[:2])
    shared = common.clip(0).prod(1)
    areas = (boxes[:, 2:4] - boxes[:, :2]).prod(1) + (box[2:4] - box[:2]).prod()
    return shared / np.maximum(areas - shared, 1e-12)


def merged(rows: np.ndarray) -> np.ndarray:
    """Return one find of each face, best first.

    Of overlapping finds the one with the highest score wins; those that nearly agree with it have
    a say in where box and landmarks are, by their scores. The average is a third nearer to the
    truth than the best find alone.

    Args:
        rows: (M, 15) finds, several of each face.
    """
    left = rows[np.argsort(-rows[:, -1], kind="stable")]
    faces = []
    while len(left):
        shares = overlaps(left, left[0])
        face = np.average(left[shares > _VOTES], 0, left[shares > _VOTES, -1])
        face[-1] = left[0, -1]
        faces.append(face)
        left = left[shares <= _SAME_FACE]
    return np.stack(faces) if faces else np.zeros((0, ROW))


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra(
            f"finding faces needs OpenCV, which cannot be imported ({error}); "
            'pip install "ilk[faces]"'
        ) from None
    major = str(cv2.__version__).partition(".")[0]
    if major != "4" or not hasattr(cv2, "FaceDetectorYN"):
        raise MissingExtra(
            f"finding faces needs OpenCV 4.14 or a later 4, got {cv2.__version__}, which cannot "
            'run the model files; pip uninstall its package, then pip install "ilk[faces]"'
        )
    return cv2
