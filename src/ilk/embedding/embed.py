"""From items to embeddings, with any encoder.

While the encoder computes one batch, threads read and preprocess the next. Items of the same
content are computed once.

Shapes: N items, D embedding size.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar, final, get_args

import numpy as np

from ilk.doors import door
from ilk.embedding.cache import EmbeddingCache
from ilk.encoder import Encoder
from ilk.errors import InvalidInput, UnreadableItem
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.unreadable import OnUnreadable, as_problem

__all__ = ["Embedded", "embed_items"]

Progress = Callable[[int, int], None]
_Result = np.ndarray | UnreadableItem
_P = ParamSpec("_P")
_T = TypeVar("_T")

_NUM_BATCHES_AHEAD = 2


@final
@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings with what they are of, in the same order."""

    embeddings: np.ndarray
    """(N, D) float32."""
    items: Items
    """The N items that were embedded; its problems name those that could not be."""
    hashes: tuple[str, ...]
    """`Item.content_hash` of each of the N items."""
    num_cached: int = 0
    """How many came from the cache."""

    def __len__(self) -> int:
        return len(self.hashes)


@door
def embed_items(
    encoder: Encoder,
    items: Items,
    *,
    batch_size: int = 64,
    on_unreadable: OnUnreadable = "stop",
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Return the embeddings of items, in their order.

    Args:
        encoder: Anything with `embed`, `preprocess`, `embedding_size` and `fingerprint`.
        items: What to embed. None are embedded to (0, D).
        batch_size: Items per call of the encoder, at least 1. Memory grows with it.
        on_unreadable: "stop" raises at the first item that cannot be read; "skip" leaves it out
            and adds it to the problems of the result.
        cache: Looked up before computing, and added to, even if the call is interrupted.
        progress: Called with (items done, items in all) after each batch, and at the end.

    Raises:
        UnreadableItem: An item cannot be read and `on_unreadable` is "stop".
        InvalidInput: An option is out of its range.
    """
    if batch_size < 1:
        raise InvalidInput(f"batch_size must be at least 1, got {batch_size}")
    if on_unreadable not in get_args(OnUnreadable):
        raise InvalidInput(f"on_unreadable must be 'stop' or 'skip', got {on_unreadable!r}")
    pool = ThreadPoolExecutor(os.cpu_count() or 1, "ilk-load") if len(items) > 1 else _Here()
    try:
        keys = list(pool.map(_content_hash, items.items))
        if on_unreadable == "stop":
            _raise_first(keys)
        known = _look_up(cache, encoder, keys)
        pending: dict[str, Item] = {}
        for item, key in zip(items.items, keys, strict=True):
            if isinstance(key, str) and key not in known:
                pending.setdefault(key, item)
        fresh: dict[str, _Result] = {}
        try:
            for batch, frames in _load_ahead(pool, encoder.preprocess, pending, batch_size):
                if on_unreadable == "stop":
                    _raise_first(frames)
                fresh.update(_embed_batch(encoder, batch, frames))
                if progress is not None:
                    progress(len(items) - len(pending) + len(fresh), len(items))
        finally:
            _remember(cache, encoder, fresh)
    finally:
        pool.shutdown(cancel_futures=True)
    if progress is not None and not pending:
        progress(len(items), len(items))
    results = {**known, **fresh}
    return _assemble(items, keys, results, pending, encoder.embedding_size, set(known))


@final
class _Here(Executor):
    """Does at once, in this thread, what it is given: a single item is not worth a thread."""

    def submit(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Return the result, which is there already."""
        done: Future[_T] = Future()
        try:
            done.set_result(call(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def _content_hash(item: Item) -> str | UnreadableItem:
    try:
        return item.content_hash()
    except OSError as error:
        return UnreadableItem(f"{item.name}: {error.strerror or error}")


def _load(preprocess: Preprocess, item: Item) -> _Result:
    try:
        return preprocess.load(item)
    except UnreadableItem as error:
        return error
    except OSError as error:
        return UnreadableItem(f"{item.name}: {error.strerror or error}")


def _raise_first(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, UnreadableItem):
            raise result


def _look_up(
    cache: EmbeddingCache | None, encoder: Encoder, keys: Sequence[str | UnreadableItem]
) -> Mapping[str, np.ndarray]:
    if cache is None:
        return {}
    hashes = [key for key in keys if isinstance(key, str)]
    return cache.get(encoder.fingerprint, hashes, embedding_size=encoder.embedding_size)


def _remember(cache: EmbeddingCache | None, encoder: Encoder, fresh: Mapping[str, _Result]) -> None:
    new = {key: value for key, value in fresh.items() if isinstance(value, np.ndarray)}
    if cache is not None and new:
        cache.put(encoder.fingerprint, list(new), np.stack(list(new.values())))


def _load_ahead(
    pool: Executor, preprocess: Preprocess, pending: Mapping[str, Item], batch_size: int
) -> Iterator[tuple[list[str], list[_Result]]]:
    """Yield (content hashes, what was loaded) per batch, while the next batches are loading."""
    keys = list(pending)
    waiting: deque[tuple[list[str], list[Future[_Result]]]] = deque()
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        waiting.append((batch, [pool.submit(_load, preprocess, pending[key]) for key in batch]))
        if len(waiting) > _NUM_BATCHES_AHEAD:
            batch, futures = waiting.popleft()
            yield batch, [future.result() for future in futures]
    for batch, futures in waiting:
        yield batch, [future.result() for future in futures]


def _embed_batch(
    encoder: Encoder, batch: Sequence[str], frames: Sequence[_Result]
) -> dict[str, _Result]:
    """Return the embedding of each content of a batch, or why there is none."""
    results = dict(zip(batch, frames, strict=True))
    good = {key: frame for key, frame in results.items() if isinstance(frame, np.ndarray)}
    if good:
        inputs = encoder.preprocess.inputs(list(good.values()))
        embeddings = np.asarray(encoder.embed(inputs), np.float32)
        results.update(zip(good, embeddings, strict=True))
    return results


def _assemble(
    items: Items,
    keys: Sequence[str | UnreadableItem],
    results: Mapping[str, _Result],
    pending: Mapping[str, Item],
    embedding_size: int,
    cached: set[str],
) -> Embedded:
    """Hand the result of each content to its items, in their order.

    `pending` has the item that each content was read from, which an error names.
    """
    rows: list[int] = []
    embeddings = np.empty((len(items), embedding_size), np.float32)
    problems = list(items.problems)
    for i, (item, key) in enumerate(zip(items.items, keys, strict=True)):
        result = results[key] if isinstance(key, str) else key
        if isinstance(result, UnreadableItem):
            read = pending[key] if isinstance(key, str) else item
            problems.append(replace(as_problem(read, result), name=item.name))
        else:
            embeddings[len(rows)] = result
            rows.append(i)
    kept = replace(items.take(rows), problems=tuple(problems))
    hashes = tuple(str(keys[i]) for i in rows)
    num_cached = sum(content in cached for content in hashes)
    return Embedded(embeddings[: len(rows)], kept, hashes, num_cached)
