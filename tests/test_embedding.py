"""Items to embeddings: order, problems, and a cache that is never stale and never in the way."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ilk.embedding import EmbeddingCache, check_table_path, embed_items, table, write_table
from ilk.encoder import Encoder, encoder_fingerprint
from ilk.errors import InvalidInput, MissingExtra, UnreadableItem
from ilk.items import Item, Items
from ilk.preprocess import Preprocess

PRINT = "f" * 64


class PixelSums:
    """Encodes an input as (scale * sum, scale * first pixel), and counts what it was given."""

    embedding_size = 2
    preprocess = Preprocess(size_pixels=4, channels=1, mean=(0.0,), std=(1.0,))

    def __init__(self, scale: float = 1.0, fingerprint: str = PRINT) -> None:
        self.scale, self.fingerprint = scale, fingerprint
        self.batches: list[int] = []
        self.fails_after = 10**9

    def embed(self, inputs: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        batch = np.asarray(inputs)
        if len(self.batches) >= self.fails_after:
            raise KeyboardInterrupt
        self.batches.append(len(batch))
        flat = batch.reshape(len(batch), -1)
        return self.scale * np.stack([flat.sum(1), flat[:, 0]], axis=1)


def frames(count: int, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, 255, (count, 4, 4), dtype=np.uint8))


def expected(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The same by hand: a 4 x 4 picture needs no scaling."""
    return np.array([[a.sum() / 255, a[0, 0] / 255] for a in arrays], np.float32).reshape(-1, 2)


def test_the_fake_is_an_encoder() -> None:
    encoder: Encoder = PixelSums()
    assert isinstance(encoder, Encoder)


@given(st.integers(0, 9), st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=30)
def test_order_and_values_for_any_batch_size(
    count: int, batch_size: int, data: st.DataObject
) -> None:
    """Repeated content is computed once, and handed to every item that has it."""
    distinct = frames(max(count, 1))
    chosen = data.draw(st.lists(st.sampled_from(range(len(distinct))), max_size=20))
    arrays = [distinct[i] for i in chosen]
    items = Items.from_arrays(arrays, [f"class {i}" for i in chosen])
    encoder = PixelSums()
    embedded = embed_items(encoder, items, batch_size=batch_size)
    assert embedded.embeddings.dtype == np.float32
    np.testing.assert_allclose(embedded.embeddings, expected(arrays), rtol=1e-6)
    assert embedded.hashes == tuple(item.content_hash() for item in items.items)
    assert list(embedded.items.labels) == list(items.labels)
    assert sum(encoder.batches) == len(set(chosen))
    assert max(encoder.batches, default=0) <= batch_size


def test_files_are_read_as_serving_reads_them(picture_folder: Path) -> None:
    encoder = PixelSums()
    paths = sorted(picture_folder.rglob("*.png"))
    items = Items(tuple(Item(path, path.parent.name, path.name) for path in paths))
    one_by_one = [
        encoder.embed(encoder.preprocess.inputs([encoder.preprocess.load(item)]))[0]
        for item in items.items
    ]
    embedded = embed_items(encoder, items, batch_size=4)
    np.testing.assert_allclose(embedded.embeddings, np.stack(one_by_one), rtol=1e-6)
    assert embedded.hashes[0] == hashlib.sha256(paths[0].read_bytes()).hexdigest()


def test_a_box_is_part_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3).save(path)
    boxes = [None, (0.0, 0.0, 4.0, 4.0), (4.0, 4.0, 8.0, 8.0)]
    items = Items(tuple(Item(path, "a", f"{i}", box=box) for i, box in enumerate(boxes)))
    embedded = embed_items(PixelSums(), items, cache=EmbeddingCache(tmp_path / "cache"))
    assert len(set(embedded.hashes)) == len(np.unique(embedded.embeddings, axis=0)) == 3


@pytest.fixture
def mixed(tmp_path: Path) -> Items:
    """Good, broken, missing, good, and a copy of the broken one."""
    good = [tmp_path / "good 0.png", tmp_path / "good 1.png"]
    for path, frame in zip(good, frames(2), strict=True):
        Image.fromarray(frame).save(path)
    for name in ("broken.png", "copy.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    names = ["good 0.png", "broken.png", "missing.png", "good 1.png", "copy.png"]
    return Items(tuple(Item(tmp_path / name, "a", name) for name in names))


def test_what_cannot_be_read_is_named(mixed: Items) -> None:
    calls: list[tuple[int, int]] = []
    embedded = embed_items(
        PixelSums(), mixed, on_unreadable="skip", progress=lambda *c: calls.append(c)
    )
    assert [item.name for item in embedded.items.items] == ["good 0.png", "good 1.png"]
    np.testing.assert_allclose(embedded.embeddings, expected(frames(2)), rtol=1e-6)
    problems = {problem.name: problem.reason for problem in embedded.items.problems}
    assert list(problems) == ["broken.png", "missing.png", "copy.png"]
    assert "No such file" in problems["missing.png"]
    assert not problems["broken.png"].startswith("broken.png")
    assert calls[-1] == (5, 5)


def test_what_cannot_be_read_stops(mixed: Items) -> None:
    with pytest.raises(UnreadableItem, match=r"missing\.png: No such file"):
        embed_items(PixelSums(), mixed)
    with pytest.raises(UnreadableItem, match=r"broken\.png: "):
        embed_items(PixelSums(), mixed.take([0, 1, 3]))


def test_only_what_cannot_be_read(mixed: Items) -> None:
    embedded = embed_items(PixelSums(), mixed.take([1, 2]), on_unreadable="skip")
    assert embedded.embeddings.shape == (0, 2)
    assert len(embedded.items.problems) == 2


def test_progress_ends_with_all_even_if_all_is_remembered(tmp_path: Path) -> None:
    items = Items.from_arrays(frames(5), "aabbc")
    cache = EmbeddingCache(tmp_path)
    calls: list[tuple[int, int]] = []
    for _ in range(2):
        embed_items(
            PixelSums(), items, batch_size=2, cache=cache, progress=lambda *c: calls.append(c)
        )
    assert calls == [(2, 5), (4, 5), (5, 5), (5, 5)]


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"on_unreadable": "ignore"}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        embed_items(PixelSums(), Items(()), **options)


def test_the_second_run_computes_nothing(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    items = Items.from_arrays(frames(6), "aabbcc")
    first = embed_items(PixelSums(), items, cache=cache)
    encoder = PixelSums()
    again = embed_items(encoder, items, cache=cache)
    assert (first.num_cached, again.num_cached, encoder.batches) == (0, 6, [])
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    more = Items.from_arrays(frames(8), "aabbccdd")
    assert embed_items(encoder, more, cache=cache).num_cached == 6
    assert encoder.batches == [2]


def test_the_cache_is_never_stale(tmp_path: Path) -> None:
    """A peer keeps one file without a key: other weights, other data, the old embeddings."""
    cache = EmbeddingCache(tmp_path / "cache")
    path = tmp_path / "a.png"
    items = Items((Item(path, "a", "a.png"),))
    old, new = frames(2)
    Image.fromarray(old).save(path)
    embed_items(PixelSums(), items, cache=cache)
    trained_on = embed_items(PixelSums(2.0, fingerprint="e" * 64), items, cache=cache)
    np.testing.assert_allclose(trained_on.embeddings, 2 * expected([old]), rtol=1e-6)
    Image.fromarray(new).save(path)
    changed = embed_items(PixelSums(), items, cache=cache)
    np.testing.assert_allclose(changed.embeddings, expected([new]), rtol=1e-6)


def test_the_fingerprint_covers_preprocessing_and_size() -> None:
    plain, trimmed = Preprocess(size_pixels=4), Preprocess(size_pixels=4, trim=True)
    prints = [
        encoder_fingerprint("a", plain, 2),
        encoder_fingerprint("b", plain, 2),
        encoder_fingerprint("a", trimmed, 2),
        encoder_fingerprint("a", plain, 3),
    ]
    assert len(set(prints)) == 4
    assert encoder_fingerprint("a", Preprocess(size_pixels=4), 2) == prints[0]


def test_an_interrupted_run_keeps_what_it_computed(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    items = Items.from_arrays(frames(6), "aabbcc")
    encoder = PixelSums()
    encoder.fails_after = 2
    with pytest.raises(KeyboardInterrupt):
        embed_items(encoder, items, batch_size=2, cache=cache)
    assert embed_items(PixelSums(), items, cache=cache).num_cached == 4


@given(st.data())
@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_cache_is_computed_again(tmp_path: Path, data: st.DataObject) -> None:
    """Any flipped bit, any truncation: never a wrong number, and whole afterwards."""
    cache = EmbeddingCache(tmp_path)
    cache.clear()
    items = Items.from_arrays(frames(4), "aabb")
    embed_items(PixelSums(), items, cache=cache)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[position:]
    file.write_bytes(bytes(content))
    damaged = embed_items(PixelSums(), items, cache=cache)
    np.testing.assert_allclose(damaged.embeddings, expected(frames(4)), rtol=1e-6)
    assert damaged.num_cached < 4
    assert embed_items(PixelSums(), items, cache=cache).num_cached == 4


def test_a_cache_that_cannot_be_used_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    items = Items.from_arrays(frames(2), "ab")
    cache = EmbeddingCache(tmp_path / "file")
    np.testing.assert_allclose(
        embed_items(PixelSums(), items, cache=cache).embeddings, expected(frames(2)), rtol=1e-6
    )


def test_what_is_forgotten_leaves_every_file(tmp_path: Path) -> None:
    cache, keys = EmbeddingCache(tmp_path), [name * 32 for name in ("ab", "cd", "ef")]
    rows = np.arange(6, dtype=np.float32).reshape(3, 2) + 0.5
    cache.put(PRINT, keys, rows)
    cache.put(PRINT, keys[:1], rows[:1])
    cache.put("another-encoder", keys[:2], rows[:2])
    assert cache.contents() == set(keys)
    assert cache.forget(["00" * 32]) == cache.forget([]) == 0
    assert cache.forget(keys[:1]) == 3
    assert cache.contents() == set(keys[1:])
    assert not any(bytes.fromhex(keys[0]) in file.read_bytes() for file in tmp_path.glob("*/*"))
    known = cache.get(PRINT, keys, embedding_size=2)
    assert {key: row.tolist() for key, row in known.items()} == {
        keys[1]: [2.5, 3.5],
        keys[2]: [4.5, 5.5],
    }
    assert len(list(tmp_path.glob("*/*"))) == 2


def test_another_size_is_another_entry(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(PRINT, ["ab" * 32], np.ones((1, 2), np.float32))
    assert cache.get(PRINT, ["ab" * 32], embedding_size=3) == {}


@pytest.mark.parametrize("fingerprint", ["", "../../etc", "a/b" * 9, "short"])
def test_a_fingerprint_never_leaves_the_folder(tmp_path: Path, fingerprint: str) -> None:
    with pytest.raises(InvalidInput, match="fingerprint must be"):
        EmbeddingCache(tmp_path).put(fingerprint, ["ab" * 32], np.ones((1, 2), np.float32))


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "ab" * 33])
def test_a_key_is_a_sha256(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput, match="SHA-256"):
        EmbeddingCache(tmp_path).get(PRINT, [content], embedding_size=2)
    with pytest.raises(InvalidInput, match="one content hash per embedding"):
        EmbeddingCache(tmp_path).put(PRINT, [content], np.ones((2, 2), np.float32))


def test_threads_and_processes_share_a_cache(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from ilk.embedding import EmbeddingCache\n"
        "cache, k = EmbeddingCache(sys.argv[1]), int(sys.argv[2])\n"
        "for i in range(20):\n"
        "    n = 20 * k + i\n"
        "    cache.put('f' * 64, [f'{n:064x}'], np.full((1, 2), n, np.float32))\n"
        "    cache.get('f' * 64, [f'{j:064x}' for j in range(60)], embedding_size=2)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(k)]) for k in range(3)
    ]
    cache = EmbeddingCache(tmp_path)
    keys = [f"{n:064x}" for n in range(60)]

    def read() -> None:
        for _ in range(20):
            for key, found in cache.get(PRINT, keys, embedding_size=2).items():
                assert found.tolist() == [int(key, 16)] * 2

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = cache.get(PRINT, keys, embedding_size=2)
    assert {int(key, 16): embedding[0] for key, embedding in found.items()} == dict(
        zip(range(60), range(60), strict=True)
    )


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert EmbeddingCache().folder == tmp_path / "own" / "embeddings"
    monkeypatch.delenv("ILK_CACHE")
    assert EmbeddingCache().folder == tmp_path / "shared" / "ilk" / "embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert EmbeddingCache().folder == tmp_path / "home" / ".cache" / "ilk" / "embeddings"


LABELS = ['a "quoted", one', "ねこ", '"; =1+1, a']


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv", ".CSV"])
def test_tables_hold_every_row(tmp_path: Path, suffix: str) -> None:
    items = Items.from_arrays(frames(3), LABELS)
    embedded = embed_items(PixelSums(1 / 3), items)
    path = tmp_path / f"x{suffix}"
    path.write_text("old")
    write_table(path, embedded, {"encoder_fingerprint": PRINT})
    if suffix == ".parquet":
        read = pq.read_table(path)
        assert read.schema.metadata[b"ilk.encoder_fingerprint"] == PRINT.encode()
        assert read.schema.field("embedding").type.list_size == 2
        columns = read.to_pydict()
        embeddings = np.array(columns["embedding"], np.float32)
    elif suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name].tolist() for name in ("name", "label", "hash")}
            embeddings = arrays["embedding"]
            assert str(arrays["encoder_fingerprint"]) == PRINT
    else:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: [row[name] for row in rows] for name in ("name", "label", "hash")}
        embeddings = np.array([[row["e0"], row["e1"]] for row in rows], np.float32)
    np.testing.assert_array_equal(embeddings, embedded.embeddings)
    assert columns["label"] == LABELS
    assert columns["name"] == ["row 0", "row 1", "row 2"]
    assert tuple(columns["hash"]) == embedded.hashes
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
def test_an_empty_table_has_its_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_table(path, embed_items(PixelSums(), Items(())), {})
    if suffix == ".parquet":
        assert pq.read_table(path).schema.field("embedding").type.list_size == 2
    elif suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays["embedding"].shape == (0, 2)
    else:
        assert path.read_text().strip() == "name,label,hash,e0,e1"


def test_an_output_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.npz").mkdir()
    for name, match in (
        ("x.xlsx", r"ends in \.parquet, \.npz, \.csv, got 'x\.xlsx'"),
        ("x", "ends in"),
        ("no/x.csv", "there is no folder"),
        ("folder.npz", "a folder is there"),
    ):
        with pytest.raises(InvalidInput, match=match):
            check_table_path(tmp_path / name)
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    check_table_path(tmp_path / "x.npz")
    with pytest.raises(MissingExtra, match=r'pip install "ilk\[tables\]"'):
        check_table_path(tmp_path / "x.parquet")


def test_a_failed_write_leaves_the_old_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    path.write_text("old")

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, embed_items(PixelSums(), Items(())), {})
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]
