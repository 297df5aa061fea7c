"""What `check_items` counts agrees with what was put in."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ilk.check import check_items
from ilk.config import Run
from ilk.datasets import open_source
from ilk.errors import DataError
from ilk.items import Item, Items

NOISE = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Items:
    """Lay out two splits with one of each thing to find."""
    for i in range(4):
        write(tmp_path / f"train/猫/{i}.png", NOISE[i])
        write(tmp_path / f"train/dog/{i}.png", NOISE[10 + i])
    write(tmp_path / "train/lone/0.png", NOISE[20])
    write(tmp_path / "test/猫/9.png", NOISE[30])
    write(tmp_path / "train/猫/again.png", NOISE[0])  # the same bytes
    write(tmp_path / "train/dog/cat.bmp", NOISE[1])  # the same pixels, another class
    smooth = np.asarray(Image.fromarray(NOISE[31][:6, :6]).resize((64, 64)))
    write(tmp_path / "train/dog/s.png", smooth)
    write(
        tmp_path / "test/dog/s.png", (smooth * 0.9 + 10).astype(np.uint8)
    )  # nearly the same, another split
    (tmp_path / "train/猫/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 rubbish")
    (tmp_path / "train/猫/empty.jpg").touch()
    return open_source(tmp_path, on_unreadable="skip")


def test_everything_that_was_put_in_is_found(pets: Items) -> None:
    check = check_items(pets)
    assert check.num_items == 14
    assert check.class_sizes == Counter({"猫": 6, "dog": 7, "lone": 1})
    assert check.split_sizes == Counter({"train": 12, "test": 2})
    assert check.singletons == ("lone",)
    found = [(d.kind, d.names, d.crosses_classes, d.crosses_splits) for d in check.duplicates]
    assert found == [
        ("bytes", ("train/猫/0.png", "train/猫/again.png"), False, False),
        ("pixels", ("train/dog/cat.bmp", "train/猫/1.png"), True, False),
        ("near", ("test/dog/s.png", "train/dog/s.png"), False, True),
    ]
    assert {problem.name for problem in check.problems} == {
        "train/猫/broken.jpg",
        "train/猫/empty.jpg",
    }
    assert check.is_complete


def test_json_holds_all_of_it(pets: Items) -> None:
    check = check_items(pets)
    report = json.loads(json.dumps(check.to_json()))
    assert report["items"] == 14
    assert report["classes"] == 3
    assert report["class_size"] == {"min": 1, "median": 6.0, "max": 7}
    assert report["class_sizes"] == {"dog": 7, "lone": 1, "猫": 6}
    assert report["splits"] == {"test": 2, "train": 12}
    assert sum(report["histogram"]["classes"]) == 3
    assert report["singletons"] == ["lone"]
    assert [found["kind"] for found in report["duplicates"]] == ["bytes", "pixels", "near"]
    assert report["duplicates"][1]["labels"] == ["dog", "猫"]
    assert report["duplicates"][2]["crosses_splits"] is True
    assert report["duplicates_complete"] is True
    assert {found["name"] for found in report["unreadable"]} == {
        "train/猫/broken.jpg",
        "train/猫/empty.jpg",
    }
    assert report["batch"] is None
    assert "2 such classes of 3" in report["no_batch_reason"]


def test_progress_names_its_stages(pets: Items) -> None:
    steps: list[tuple[str, int, int]] = []
    check_items(pets, progress=lambda *step: steps.append(step))
    assert steps == [*(("read", i, 15) for i in range(1, 16)), ("compare", 1, 1)]


def test_a_group_is_listed_once_with_all_its_members() -> None:
    pixels = [NOISE[i % 3] for i in range(9)]
    check = check_items(Items.from_arrays(pixels, ["a"] * 9))
    assert [found.kind for found in check.duplicates] == ["bytes"] * 3
    assert check.duplicates[0].names == ("row 0", "row 3", "row 6")


def test_a_set_of_which_nothing_is_readable_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    check = check_items(Items((Item(tmp_path / "x.png", "a", "x.png"),)))
    assert check.num_items == 0
    assert check.batch is None
    assert len(check.problems) == 1
    assert check.to_json()["class_size"] == {"min": 0, "median": 0.0, "max": 0}


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), max_size=40))
def test_the_histogram_counts_each_class_once_in_its_bin(sizes: list[int]) -> None:
    labels = [str(c) for c, size in enumerate(sizes) for _ in range(size)]
    rows = [np.array([i]) for i in range(len(labels))]
    histogram = check_items(Items.from_arrays(rows, labels)).histogram
    assert sum(histogram.counts) == len(sizes)
    edges = [*histogram.edges, 10**9]
    for low, high, count in zip(edges, edges[1:], histogram.counts, strict=False):
        assert count == sum(low <= size < high for size in sizes)


def drawings(*sizes: int) -> Items:
    """Small grey pictures in classes of these sizes."""
    labels = [f"c{c}" for c, size in enumerate(sizes) for _ in range(size)]
    return Items.from_arrays(NOISE[np.arange(len(labels)) % 40, :, :, 0], labels)


def photographs(num_classes: int, size: int) -> Items:
    labels = [f"c{c}" for c in range(num_classes) for _ in range(size)]
    return Items.from_arrays(NOISE[np.arange(len(labels)) % 40], labels)


@pytest.mark.parametrize(
    "items",
    [
        drawings(*[20] * 100),
        drawings(*[3] * 50),
        drawings(*[10] * 8),
        drawings(1, 1, 2, 9, 4, 4, 30, 7),
        photographs(60, 5),
        photographs(21, 3),
    ],
    ids=lambda items: f"{len(items)} items",
)
def test_training_takes_what_is_recommended(items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    from ilk.encoders.timm import TimmEncoder
    from ilk.training.plan import make_plan

    plain = TimmEncoder.__init__

    def as_if_pretrained(self: TimmEncoder, **options: Any) -> None:
        plain(self, backbone="test_resnet", pretrained=False, size_pixels=32)
        self.pretrained_on = "pictures"

    monkeypatch.setattr(TimmEncoder, "__init__", as_if_pretrained)
    monkeypatch.setattr("ilk.training.plan.with_defaults", lambda factory, options: {})
    plan = make_plan(Run(), items)
    batch = check_items(items).batch
    assert batch is not None
    assert plan.run.batch.classes == batch.classes
    assert plan.run.batch.items_per_class == batch.items_per_class
    assert len(plan.split.training.classes) == batch.training_classes
    assert len(plan.split.validation.classes) == batch.validation_classes
    assert (plan.run.trainer.mode == "head") == batch.trains_head_only
    if batch.trains_head_only:
        assert any(note.startswith(batch.mode_reason) for note in plan.notes)
    assert (batch.validation_reason in plan.notes) != batch.can_validate_by_class


def test_what_training_refuses_is_not_recommended() -> None:
    from ilk.training.plan import make_plan

    items = drawings(5, 5, 5, 1)
    check = check_items(items)
    assert check.batch is None
    with pytest.raises(DataError) as refused:
        make_plan(Run(), items)
    assert check.no_batch_reason == str(refused.value)
