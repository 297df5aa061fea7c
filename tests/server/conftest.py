"""A server on a free port, in front of a gallery whose faces are patches on black."""

from __future__ import annotations

import http.client
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from ilk.artifact import ArtifactParts, Cohort, Parity, class_hash, short_hash, write_artifact
from ilk.detector import Quality, Region
from ilk.distances import Cosine
from ilk.images import Box, read_image
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.recognizer import Recognizer
from ilk.server import Answers, PageServer, open_server

SIDE, GAP = 24, 8
PEOPLE = ("ada", "bob", "cyd")


class Patches:
    """Finds runs of columns that are not black; narrow ones are too small."""

    noun = "face"
    is_whole = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "patches"}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        is_lit = np.concatenate([[False], image.any(axis=(0, 2)), [False]])
        edges = np.flatnonzero(is_lit[1:] != is_lit[:-1]).reshape(-1, 2)
        found = tuple(self._region(image, int(x1), int(x2)) for x1, x2 in edges)
        if box is None:
            return found
        inside = [r for r in found if r.box[0] < box[2] and box[0] < r.box[2]]
        return tuple(inside[:1])

    def _region(self, image: np.ndarray, x1: int, x2: int) -> Region:
        rows = np.flatnonzero(image[:, x1:x2].any(axis=(1, 2)))
        is_small = x2 - x1 < SIDE // 2
        return Region(
            box=(float(x1), float(rows[0]), float(x2), float(rows[-1] + 1)),
            score=0.9,
            quality=Quality(size_pixels=x2 - x1),
            code="too_small" if is_small else "",
            reason=f"{x2 - x1} pixels wide" if is_small else "",
        )

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        return read_image(image, box=region.box)


def pattern(person: str) -> np.ndarray:
    """(4, 4) uint8, never black."""
    rng = np.random.default_rng([ord(letter) for letter in person])
    return rng.integers(20, 255, (4, 4)).astype(np.uint8)


def patch(person: str, variation: int = 0) -> np.ndarray:
    """(SIDE, SIDE) uint8: the pattern of a person, hardly changed."""
    rng = np.random.default_rng([variation, *map(ord, person)])
    values = pattern(person).astype(int) + rng.integers(-2, 3, (4, 4))
    return np.kron(np.clip(values, 1, 255), np.ones((SIDE // 4, SIDE // 4))).astype(np.uint8)


def scene(*patches: np.ndarray) -> bytes:
    """A PNG with patches in a row."""
    height = max(p.shape[0] for p in patches) + 2 * GAP
    canvas = np.zeros((height, GAP + sum(p.shape[1] + GAP for p in patches)), np.uint8)
    x = GAP
    for p in patches:
        canvas[GAP : GAP + p.shape[0], x : x + p.shape[1]] = p
        x += p.shape[1] + GAP
    file = io.BytesIO()
    Image.fromarray(canvas).convert("RGB").save(file, "PNG")
    return file.getvalue()


def items_of(people: Sequence[str], variations: Sequence[int]) -> Items:
    return Items(
        tuple(
            Item(read_image(scene(patch(person, v))), person, f"{person} {v}.png")
            for person in people
            for v in variations
        )
    )


class Client:
    """Asks like the page does, unless a test says otherwise."""

    def __init__(self, server: PageServer) -> None:
        self.port, self.token = server.port, server.token

    def ask(
        self,
        what: str,
        values: Mapping[str, Any] | None = None,
        body: bytes = b"",
        *,
        method: str = "POST",
        path: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, Any]:
        """Return status, headers and the document, or the text where it is none."""
        address = f"/api/{what}?{urlencode(values or {})}" if path is None else path
        sent: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "X-Ilk-Token": self.token,
            "Origin": f"http://127.0.0.1:{self.port}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, address, skip_host=True, skip_accept_encoding=True)
            for key, value in sent.items():
                if value is not None:
                    connection.putheader(key, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = (answer.headers["Content-Type"] or "").startswith("application/json")
        told = json.loads(content) if is_json and content else content.decode()
        return answer.status, answer.headers, told

    def told(self, what: str, values: Mapping[str, Any] | None = None, body: bytes = b"") -> Any:
        """Return the document of a question that is answered."""
        status, _, told = self.ask(what, values, body)
        assert status == 200, told
        return told


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory, linear_onnx: bytes) -> Path:
    """An artifact without a cohort."""
    parts = ArtifactParts(
        onnx=linear_onnx,
        weights=b"weights " * 8,
        cohort=Cohort(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), ()),
        card="# Patches\n",
        encoder={"name": "linear"},
        preprocess=Preprocess(size_pixels=4, channels=1),
        distance=Cosine(),
        embedding_size=3,
        training_classes=(class_hash("gull"),),
        validation_classes=(),
        item_hashes=(short_hash("ab" * 32),),
        metrics=(),
        versions={"ilk": "0.1.0"},
        config={},
        seed=3,
        parity=Parity(1e-6, 64),
    )
    return write_artifact(tmp_path_factory.mktemp("artifact") / "patches", parts)


@pytest.fixture(scope="session")
def people(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of three people with two pictures each; forty others calibrate."""
    place = tmp_path_factory.mktemp("world") / "people.gallery"
    with Recognizer.create(place, birds, detector=Patches()) as made:
        assert all(a.is_enrolled for a in made.enroll(items_of(PEOPLE, (0, 1))))
        others = [f"stranger {i}" for i in range(40)]
        made.calibrate(0.05, strangers=items_of(others, (0,)))
    return place


@pytest.fixture
def recognizer(people: Path, tmp_path: Path) -> Iterator[Recognizer]:
    """Of a copy that a test may change."""
    place = shutil.copytree(people, tmp_path / people.name)
    with Recognizer.open(place, detector=Patches()) as opened:
        yield opened


@contextmanager
def serving(recognizer: Recognizer) -> Iterator[PageServer]:
    with open_server(Answers(recognizer), port=0, title="people") as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def client(recognizer: Recognizer) -> Iterator[Client]:
    with serving(recognizer) as server:
        yield Client(server)


@pytest.fixture(scope="session")
def server(people: Path) -> Iterator[PageServer]:
    """One for all tests that change nothing."""
    with Recognizer.open(people, detector=Patches()) as opened, serving(opened) as made:
        yield made


@pytest.fixture
def page(server: PageServer) -> Client:
    """Asks the server that is for all."""
    return Client(server)


def nonce_of(page: str) -> str:
    """Return the nonce that the scripts of a page carry."""
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    return nonce
