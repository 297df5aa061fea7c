"""Faces of photographs by ilk and by dlib, and how rightly each tells pairs of them apart.

The parts of `benchmarks.faces` that embed and that judge.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ilk.detector import Detector
from ilk.encoder import Encoder
from ilk.evaluation.impostor_limit import limit_from_strangers
from ilk.images import read_image

NUM_STRANGERS, PEER_LIMIT, FMR = 500, 0.6, 0.001

Faces = list[tuple[float, np.ndarray]]
"""For each face of a photograph the area of its box and its embedding."""


class Peer:
    """dlib, called as face_recognition 1.3.0 calls it."""

    def __init__(self) -> None:
        import dlib
        import face_recognition_models as files

        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        points, weights = files.pose_predictor_five_point_model_location, files
        self._predictor = dlib.shape_predictor(points())
        self._encoder = dlib.face_recognition_model_v1(weights.face_recognition_model_location())

    def __call__(self, image: np.ndarray) -> Faces:
        height, width = image.shape[:2]
        faces = []
        for found in self._detector(image, 1):
            left, top = max(found.left(), 0), max(found.top(), 0)
            right, bottom = min(found.right(), width), min(found.bottom(), height)
            box = self._dlib.rectangle(left, top, right, bottom)
            points = self._predictor(image, box)
            embedding = np.array(self._encoder.compute_face_descriptor(image, points, 1))
            faces.append((float(box.area()), embedding))
        return faces


class Ours:
    """The detector and the encoder of the ready artifact."""

    def __init__(self, detector: Detector, encoder: Encoder) -> None:
        self._detector, self._encoder = detector, encoder

    def __call__(self, image: np.ndarray) -> Faces:
        regions = [r for r in self._detector.detect(image) if r.is_assessable]
        crops = [self._detector.crop(image, region) for region in regions]
        embeddings = self._encoder.embed(self._encoder.preprocess.inputs(crops)) if crops else []
        return [(r.area, row) for r, row in zip(regions, embeddings, strict=True)]


def read_photographs(archive: Path) -> tuple[dict[str, np.ndarray], list[tuple[str, str, bool]]]:
    """Return the photographs by name, and the labelled pairs."""
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        images = {Path(name).name: read_image(file.read(name), name=name) for name in names}
        (table,) = [name for name in file.namelist() if name.endswith("master.csv")]
        rows = csv.DictReader(io.StringIO(file.read(table).decode()))
        pairs = [(row["file_x"], row["file_y"], row["Decision"] == "Yes") for row in rows]
    return images, pairs


def lfw_limit(archive: Path, encoder: Encoder, distance: Any) -> float:
    """Return the limit for the false match rate, from one photograph each of some people."""
    with zipfile.ZipFile(archive) as file:
        first: dict[str, str] = {}
        for name in sorted(n for n in file.namelist() if n.endswith(".jpg")):
            first.setdefault(Path(name).parent.name, name)
        chosen = sorted(first.values())[:: max(1, len(first) // NUM_STRANGERS)][:NUM_STRANGERS]
        frames = [encoder.preprocess.frame(read_image(file.read(name))) for name in chosen]
    embeddings = encoder.embed(encoder.preprocess.inputs(frames))
    who = np.arange(len(embeddings))
    found = limit_from_strangers(embeddings, who, distance, FMR, "LFW")
    print(
        f"  limit of ilk: {found.value:.4f}, for a false match rate of {FMR:.1%} among "
        f"{found.num_comparisons:,} comparisons of {len(who)} people of LFW"
    )
    return found.value


def largest(faces: Faces) -> np.ndarray | None:
    return max(faces, key=lambda face: face[0])[1] if faces else None


def area_under_curve(distances: np.ndarray, is_same: np.ndarray) -> float:
    """Return how often a pair of one person is closer than one of two; ties count half."""
    genuine, impostor = distances[is_same], distances[~is_same]
    closer = (genuine[:, None] < impostor).mean() + (genuine[:, None] == impostor).mean() / 2
    return float(closer)


def verify(
    name: str,
    embeddings: dict[str, np.ndarray | None],
    pairs: list[tuple[str, str, bool]],
    apart: Callable[[np.ndarray, np.ndarray], float],
    limit: float,
) -> float:
    """Print how well a contestant tells the pairs apart, and return its accuracy."""
    seen = {photo: row for photo, row in embeddings.items() if row is not None}
    found = [pair for pair in pairs if pair[0] in seen and pair[1] in seen]
    distances = np.array([apart(seen[x], seen[y]) for x, y, _ in found])
    is_same = np.array([same for *_, same in found])
    is_accepted = distances <= limit
    accuracy = float((is_accepted == is_same).sum()) / len(pairs)
    best = max(float(((distances <= at) == is_same).sum()) for at in distances) / len(pairs)
    print(
        f"  {name:18} {accuracy:.2%} right at {limit:.4f}: {int((~is_accepted & is_same).sum())} "
        f"of {int(is_same.sum())} genuine refused, {int((is_accepted & ~is_same).sum())} of "
        f"{int((~is_same).sum())} impostors accepted, {len(pairs) - len(found)} without a face"
    )
    print(
        f"  {'':18} a face in {len(seen)} of {len(embeddings)} photographs, AUC "
        f"{area_under_curve(distances, is_same):.4f}, {best:.2%} right at its best limit"
    )
    return accuracy


def accuracy(
    ours: Ours,
    peer: Peer,
    images: dict[str, np.ndarray],
    pairs: list[tuple[str, str, bool]],
    limit: float,
    distance: Any,
) -> bool:
    """Verify the pairs by both; tell whether ours is right more often."""

    def apart(x: np.ndarray, y: np.ndarray) -> float:
        return float(distance.paired(x[None].astype(float), y[None].astype(float))[0])

    own = {name: largest(ours(image)) for name, image in images.items()}
    theirs = {name: largest(peer(image)) for name, image in images.items()}
    first = verify("ilk", own, pairs, apart, limit)
    second = verify(
        "face_recognition", theirs, pairs, lambda x, y: float(np.linalg.norm(x - y)), PEER_LIMIT
    )
    return first > second
