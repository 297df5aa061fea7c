from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ilk.errors import DataError, UnreadableItem
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.training.loading import Contents, InMemory, OnDisk, load_contents

PREPROCESS = Preprocess(size_pixels=8, channels=1)
BATCHES = [[0, 3, 1], [2], [5, 4]]


@pytest.fixture
def pictures(tmp_path: Path) -> Items:
    rng = np.random.default_rng(0)
    items = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(path)
        items.append(Item(path, f"c{i % 2}", path.name))
    return Items(tuple(items), origin="here")


def _spoil(items: Items, position: int) -> None:
    path = items.items[position].source
    assert isinstance(path, Path)
    path.write_bytes(b"no picture")


def _load(items: Items, limit: int, threads: int, on_unreadable: str = "stop") -> Contents:
    return load_contents(
        items,
        PREPROCESS,
        limit_bytes=limit,
        on_unreadable=on_unreadable,  # type: ignore[arg-type]
        num_threads=threads,
    )


@pytest.mark.parametrize("threads", [0, 3])
def test_memory_and_threads_give_the_same_batches(pictures: Items, threads: int) -> None:
    memory, disk = _load(pictures, 6 * 64, 0), _load(pictures, 6 * 64 - 1, threads)
    assert isinstance(memory, InMemory)
    assert isinstance(disk, OnDisk)
    assert (memory.num_bytes, disk.num_bytes) == (6 * 64, 0)
    wanted = [PREPROCESS.load(item) for item in pictures.items]
    source = disk.batches(BATCHES)
    for _ in range(2):
        pairs = zip(memory.batches(BATCHES), source, BATCHES, strict=True)
        for (rows, positions), (read, read_positions), batch in pairs:
            assert positions.tolist() == read_positions.tolist() == batch
            assert torch.equal(rows, read)
            assert np.array_equal(rows.numpy(), np.stack([wanted[i] for i in batch]))


@pytest.mark.parametrize("limit", [10**6, 0])
def test_an_unreadable_item_stops_by_name(pictures: Items, limit: int) -> None:
    _spoil(pictures, 3)
    with pytest.raises(UnreadableItem, match=r"3\.png: .*data\.on_unreadable=skip"):
        list(_load(pictures, limit, 0).batches(BATCHES))


def test_skipping_in_memory_removes_the_item_and_lists_it(pictures: Items) -> None:
    _spoil(pictures, 3)
    loaded = _load(pictures, 10**6, 0, "skip")
    assert [item.name for item in loaded.items.items] == [f"{i}.png" for i in (0, 1, 2, 4, 5)]
    assert [problem.name for problem in loaded.items.problems] == ["3.png"]


@pytest.mark.parametrize("threads", [0, 3])
def test_skipping_on_disk_leaves_it_out_of_batches_and_lists_it_once(
    pictures: Items, threads: int
) -> None:
    _spoil(pictures, 3)
    loaded = _load(pictures, 0, threads, "skip")
    source = loaded.batches(BATCHES)
    for _ in range(2):
        found = [positions.tolist() for _, positions in source]
        assert found == [[0, 1], [2], [5, 4]]
    assert [problem.name for problem in loaded.items.problems] == ["3.png"]
    assert len(loaded.items) == 6


def test_nothing_readable_is_an_error(pictures: Items) -> None:
    for position in range(6):
        _spoil(pictures, position)
    with pytest.raises(DataError, match="none of the 6 items of here can be read"):
        _load(pictures, 10**6, 0, "skip")
    with pytest.raises(DataError, match="none of 3 items of a batch"):
        list(_load(pictures, 0, 0, "skip").batches(BATCHES))


def test_a_deleted_file_is_unreadable(pictures: Items, tmp_path: Path) -> None:
    (tmp_path / "2.png").unlink()
    with pytest.raises(UnreadableItem, match=r"2\.png"):
        _load(pictures, 10**6, 0)


def test_arrays_keep_their_type_and_need_one_shape() -> None:
    arrays = Items.from_arrays(np.ones((3, 4), np.float32), ["a", "a", "b"])
    loaded = load_contents(arrays, Preprocess(modality="array"), limit_bytes=10**6)
    assert isinstance(loaded, InMemory)
    assert loaded.rows.dtype == torch.float32
    uneven = Items.from_arrays([np.ones(2), np.ones(3)], ["a", "b"])
    with pytest.raises(DataError, match=r"row 1: expected the shape of the first item, \(2,\)"):
        load_contents(uneven, Preprocess(modality="array"), limit_bytes=10**6)


def test_reading_draws_nothing_from_the_global_random_state(pictures: Items) -> None:
    before = torch.get_rng_state()
    list(_load(pictures, 0, 0).batches(BATCHES))
    assert torch.equal(torch.get_rng_state(), before)
