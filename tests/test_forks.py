"""Children of `os.fork` go on, or are told at once that they cannot; none waits for ever."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ilk import forks
from ilk.distances import Euclidean
from ilk.forks import ForkLock, Kind
from ilk.gallery import Binding, Gallery

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

POINTS = np.array([[0.0, 0.0], [9.0, 0.0]])


def in_a_child(act: Callable[[], object]) -> str:
    """Fork, and return what `act` returns or raises in the child; a child that hangs is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            answer = str(act())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child hung"
    return answer


@contextmanager
def busy(act: Callable[[], object]) -> Iterator[None]:
    """Let another thread do something again and again."""
    is_over, has_begun = threading.Event(), threading.Event()

    def work() -> None:
        while not is_over.is_set():
            act()
            has_begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        has_begun.wait()
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    binding = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    made = Gallery.create(tmp_path / "g", binding, actor="ada")
    made.enroll(["owl", "wren"], POINTS)
    made.calibrate(0.1, strangers=np.arange(200.0).reshape(100, 2) + 100)
    yield made
    made.close()


def named(gallery: Gallery) -> list[str | None]:
    return [answer.label for answer in gallery.identify(POINTS)]


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_child_beside_a_busy_thread_answers(gallery: Gallery, kind: str) -> None:
    def write() -> None:
        gallery.enroll("more", np.random.default_rng().normal(50, 1, (1, 2)), guard="off")

    with busy(write if kind == "write" else lambda: gallery.identify(np.ones((200, 2)))):
        for _ in range(5):
            assert in_a_child(lambda: named(gallery)) == "['owl', 'wren']"
    assert named(gallery) == ["owl", "wren"]
    assert gallery.access.store.check() == []


def test_a_child_writes_beside_its_parent(gallery: Gallery) -> None:
    def write() -> list[str | None]:
        gallery.enroll("child", np.array([[50.0, 0.0]]), guard="off")
        gallery.close()
        return [row.label for row in Gallery.open(str(gallery.access.location)).labels()]

    with busy(lambda: gallery.identify(POINTS)):
        assert in_a_child(write) == "['child', 'owl', 'wren']"
    assert [row.label for row in gallery.labels()] == ["child", "owl", "wren"]


def test_a_child_is_told_where_a_thread_does_not_let_go(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state may be half followed; the gallery can be opened anew, for SQLite was at rest."""
    monkeypatch.setattr(forks, "_WAIT_SECONDS", 0.1)
    is_over, has_begun = threading.Event(), threading.Event()

    def hold() -> None:
        with gallery.access.fresh():
            has_begun.set()
            is_over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has_begun.wait()

    def anew() -> list[str | None]:
        gallery.close()
        return named(Gallery.open(str(gallery.access.location)))

    try:
        told = in_a_child(lambda: named(gallery))
        assert told.startswith("GalleryError: this process was forked in the middle of")
        assert in_a_child(anew) == "['owl', 'wren']"
    finally:
        is_over.set()
        thread.join()
    assert named(gallery) == ["owl", "wren"]


def test_a_child_of_a_thread_that_uses_the_file_cannot_use_any(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_WAIT_SECONDS", 0.1)
    is_over, has_begun = threading.Event(), threading.Event()

    def hold() -> None:
        with gallery.access.store.changing("hold"):
            has_begun.set()
            is_over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has_begun.wait()
    try:
        told = in_a_child(lambda: Gallery.open(str(gallery.access.location)))
        assert told.startswith("GalleryError: this process was forked in the middle of")
    finally:
        is_over.set()
        thread.join()
    assert named(gallery) == ["owl", "wren"]


@pytest.mark.parametrize("kind", ["gallery", "file", "engine"])
def test_a_lock_that_a_thread_keeps(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's can be taken in the child all the same; the others say why not."""
    monkeypatch.setattr(forks, "_WAIT_SECONDS", 0.05)
    lock, is_over, has_begun = ForkLock(kind), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            has_begun.set()
            is_over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has_begun.wait()

    def take() -> str:
        with lock:
            return "taken"

    told = in_a_child(take)
    is_over.set()
    thread.join()
    assert told.partition(":")[0] == ("taken" if kind == "engine" else "GalleryError")
    assert take() == "taken"


def test_a_child_goes_on_within_a_block_of_its_own_thread() -> None:
    lock = ForkLock("engine")

    def leave() -> str:
        with lock:
            pass
        return f"{lock.depth}"

    with lock:
        assert in_a_child(leave) == "1"
    assert in_a_child(leave) == "0"


def test_a_child_makes_codes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that was making them is not in the child."""
    pytest.importorskip("faiss")
    from ilk.searchers import pq

    searcher = pq.PqSearcher(Euclidean(), 32)
    is_over = threading.Event()
    monkeypatch.setattr(pq, "_LEAST_ROWS", 100)
    monkeypatch.setattr(pq, "_run", lambda *_: is_over.wait())
    rows = np.random.default_rng(0).normal(size=(200, 32)).astype(np.float32)
    searcher.put(np.arange(200), rows)
    searcher._start()
    assert not searcher._is_due()

    def due() -> bool:
        searcher._take_over()
        return searcher._is_due()

    assert in_a_child(due) == "True"
    is_over.set()
    assert searcher._thread is not None
    searcher._thread.join()
