"""Templates and calibration probes are where starting anew would put them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ilk.gallery import Gallery

Make = Callable[..., Gallery]


@pytest.mark.parametrize("templates", ["every", "mean", "medoids:3"])
def test_a_template_that_changes_its_class_stays_in_the_search(
    make_gallery: Make, templates: str
) -> None:
    """Into a class that is older than the one it came from, and back."""
    gallery = make_gallery(templates=templates)
    gallery.enroll(["owl", "wren", "wren"], np.array([(0, 0), (30, 0), (0, 2)]))
    moved, _ = (row.id for row in gallery.exemplars("wren"))
    gallery.remove_exemplars([gallery.exemplars("owl")[0].id])
    gallery.enroll("owl", np.array([(0, 0)]))
    gallery.reassign([moved], "owl")
    expected = {"every": 0.0, "mean": 15.0, "medoids:3": 0.0}[templates]
    (answer,) = gallery.identify(np.array([(30.0, 0.0)]))
    assert answer.candidates[0].label == "owl"
    assert answer.candidates[0].distance == pytest.approx(expected)
    gallery.reassign([moved], "wren")
    (answer,) = gallery.identify(np.array([(30.0, 0.0)]))
    assert answer.candidates[0].label == "wren"


@pytest.mark.parametrize("templates", ["every", "medoids:2"])
def test_leaving_one_out_follows_like_starting_anew(
    make_gallery: Make, templates: str, tmp_path: Path
) -> None:
    gallery = make_gallery(strangers=False, templates=templates)
    rng = np.random.default_rng(0)
    labels = [f"c{at}" for at in rng.integers(0, 8, 40)]
    gallery.enroll(labels, rng.normal(size=(40, 2)))
    gallery.calibrate(0.3, basis="leave-one-out")

    def check() -> None:
        told = gallery.threshold
        with Gallery.open(tmp_path / "g") as anew:
            assert anew.threshold == told

    check()
    gallery.enroll(["c1", "new"], rng.normal(size=(2, 2)))
    check()
    gallery.reassign([row.id for row in gallery.exemplars("c2")][:2], "c3")
    check()
    gallery.remove("c4")
    check()
    gallery.merge("c5", "c6")
    check()
    gallery.undo()
    check()


def test_labels_are_followed_through_every_change(make_gallery: Make) -> None:
    """By one who asks after each change, and by one who asks after two."""
    gallery = make_gallery(strangers=False)
    with Gallery.open(gallery.access.location.folder) as other:
        steps: list[Callable[[], object]] = [
            lambda: gallery.enroll("owl", np.array([(0, 0), (0, 1), (0, 2)])),
            lambda: gallery.enroll(["wren", "tit"], np.array([(9, 0), (20, 0)])),
            lambda: gallery.rename("owl", "eagle owl"),
            lambda: gallery.remove("wren"),
            lambda: gallery.enroll("wren", np.array([(9, 1)])),
            lambda: gallery.merge("tit", "wren"),
            lambda: gallery.undo(),
            lambda: gallery.split("eagle owl", [gallery.exemplars("eagle owl")[0].id], "owl"),
            lambda: gallery.remove("owl"),
            lambda: gallery.undo(),
            lambda: gallery.erase("wren"),
            lambda: gallery.enroll(
                [f"c{i}" for i in range(99)], np.stack([np.arange(99.0), np.full(99, 60.0)], 1)
            ),
            lambda: gallery.remove("c7"),
        ]
        for at, step in enumerate(steps):
            step()
            for asked in (gallery, other) if at % 2 else (gallery,):
                with asked.access.fresh() as state, state.store.reading() as reader:
                    assert state.labels == {row.id: row.label for row in reader.classes()}, at
