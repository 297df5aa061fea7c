"""Stop or skip: every item is tried, every failure is counted, the order is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ilk.errors import DataError, UnreadableItem
from ilk.items import Item, Items, Problem
from ilk.preprocess import Preprocess
from ilk.unreadable import verify_readable


def some(tmp_path: Path) -> Items:
    items = []
    for i in range(12):
        path = tmp_path / f"{i}.png"
        if i % 4 == 3:
            path.write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
        elif i != 8:
            Image.linear_gradient("L").save(path)
        items.append(Item(path, "猫", f"猫/{i}.png"))
    return Items(tuple(items), (Problem("earlier", "was known"),), origin="cats")


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    kept = verify_readable(some(tmp_path), "skip", progress=lambda *step: steps.append(step))
    assert [item.name for item in kept.items] == [f"猫/{i}.png" for i in (0, 1, 2, 4, 5, 6, 9, 10)]
    names = [problem.name for problem in kept.problems]
    assert names == ["earlier", "猫/3.png", "猫/7.png", "猫/8.png", "猫/11.png"]
    assert kept.problems[1].reason.startswith("damaged PNG file")
    assert kept.problems[3].reason == "No such file or directory"
    assert kept.origin == "cats"
    assert steps == [(i, 12) for i in range(1, 13)]


def test_stopping_counts_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^5 of 13 items of cats cannot be used: earlier \(was"):
        verify_readable(some(tmp_path))


def test_what_reading_is_can_be_given() -> None:
    items = Items.from_arrays([np.zeros(3), np.zeros(4)], ["a", "b"])
    assert len(verify_readable(items)) == 2
    read = Preprocess(modality="array", shape=(3,)).load
    kept = verify_readable(items, "skip", read=read)
    assert kept.labels.tolist() == ["a"]
    assert kept.problems == (Problem("row 1", "expected an array of shape (3,), got (4,)"),)


def test_other_errors_are_not_swallowed() -> None:
    def broken(item: Item) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verify_readable(Items.from_arrays([np.zeros(3)], ["a"]), "skip", read=broken)


def test_an_unreadable_item_is_a_data_error() -> None:
    assert issubclass(UnreadableItem, DataError)
