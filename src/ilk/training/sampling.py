"""Batches of P classes with K items each: what a loss over pairs can learn from.

Shapes: N items, P classes per batch, K items per class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, final

import numpy as np
from torch.utils.data import Sampler

from ilk.errors import InvalidInput

__all__ = ["BalancedBatchSampler"]


@final
class BalancedBatchSampler(Sampler[list[int]]):
    """Yields lists of positions: `items_per_class` items of each of `classes_per_batch` classes.

    - A batch never repeats a class, and has at least two. Classes are drawn without replacement
      until all have had their turn, so in an epoch their turns differ by at most one.
    - Items of a class are drawn without replacement too, until all have been drawn. A class of
      n < K items gives each of them floor(K / n) or ceil(K / n) times; the rest is repetition
      on purpose, which augmentation makes into different views.
    - What an epoch yields depends on the data, the settings, `seed` and the epoch alone: the
      global random state is neither read nor moved.
    - Over `world_size` processes every rank takes a disjoint part of each global batch (whole
      classes where `world_size` divides P), equally many items and equally many batches. Together
      they are the batch that one process would draw, so a run can be resumed on another number of
      processes.
    - Given the parents of the classes, about `classes_per_parent` of one parent come one after
      another, and so share a batch: siblings are hard to tell apart. Turns stay as equal.

    Hand it to a data loader as `batch_sampler=`, and keep Lightning from wrapping it with
    `Trainer(use_distributed_sampler=False)`.

    Args:
        class_ids: The class of each item, shape (N,), any integers.
        classes_per_batch: P of the global batch, at least 2 and at most the number of classes.
        items_per_class: K, at least 1; losses over pairs need 2.
        parents: The parent of each class, in ascending order of the class ids, any integers; None
            is one parent for all.
        classes_per_parent: About how many classes of a parent come together, at least 1, which
            mixes all classes.
        num_batches: Batches per epoch; None is as many as it takes to draw N items, rounded up.
        seed: Another seed, another order.
        rank: This process, from 0.
        world_size: How many processes share each batch; it must divide P * K.

    Raises:
        InvalidInput: A setting is out of its range or the data has too few classes.

    Example:
        >>> sampler = BalancedBatchSampler([7, 7, 7, 8, 8, 9], classes_per_batch=2,
        ...                                items_per_class=2)
        >>> [len(batch) for batch in sampler]
        [4, 4]
    """

    def __init__(
        self,
        class_ids: np.ndarray | list[int],
        *,
        classes_per_batch: int,
        items_per_class: int,
        parents: np.ndarray | None = None,
        classes_per_parent: int = 1,
        num_batches: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        ids = np.asarray(class_ids)
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise InvalidInput(f"class_ids must be (N,) integers, got {ids.shape} of {ids.dtype}")
        _check_settings(
            len(np.unique(ids)), classes_per_batch, items_per_class, num_batches, rank, world_size
        )
        order = np.argsort(ids, kind="stable")
        starts = np.flatnonzero(np.diff(ids[order])) + 1
        self._members = np.split(order, starts)
        self._siblings = _siblings(parents, len(self._members), classes_per_parent)
        self._classes_per_parent = classes_per_parent
        self._batch = (classes_per_batch, items_per_class)
        self._num_batches = num_batches or -(-len(ids) // (classes_per_batch * items_per_class))
        self._seed = seed
        self._share = (rank, world_size)
        self._data_hash = hashlib.sha256(ids.astype(np.int64).tobytes()).hexdigest()
        self._epoch = 0
        self._start = 0

    @property
    def epoch(self) -> int:
        """The epoch that iterating yields."""
        return self._epoch

    def __len__(self) -> int:
        """How many batches a whole epoch has, the same on every rank."""
        return self._num_batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this rank's part of each batch that is left of the epoch.

        After `load_state_dict` the first iteration takes up where the run stopped; later ones are
        whole epochs.
        """
        start, self._start = self._start, 0
        return self._epoch_batches(self._epoch, start)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to yield, from its first batch unless it is the one just resumed."""
        if epoch != self._epoch:
            self._epoch, self._start = int(epoch), 0

    def state_dict(self, *, num_batches_done: int) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on after `num_batches_done` of this epoch.

        The caller says how many batches it has learnt from, since a data loader's workers read
        ahead of it. The state is the same on every rank.

        Raises:
            InvalidInput: `num_batches_done` is not between 0 and the length of an epoch.
        """
        if not 0 <= num_batches_done <= len(self):
            raise InvalidInput(
                f"num_batches_done must be from 0 to {len(self)}, got {num_batches_done}"
            )
        return {"epoch": self._epoch, "num_batches_done": num_batches_done, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next iteration yield exactly the batches that the saved run had left.

        Raises:
            InvalidInput: The state was saved with other data or other settings.
        """
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise InvalidInput(
                    f"the sampler's state was saved with {key}={state.get(key)!r}, this run has "
                    f"{value!r}; resume with the same data and settings, or start afresh"
                )
        self._epoch = int(state["epoch"])
        self._start = int(state["num_batches_done"])

    def _identity(self) -> dict[str, Any]:
        return {
            "classes_per_batch": self._batch[0],
            "items_per_class": self._batch[1],
            "classes_per_parent": self._classes_per_parent,
            "num_batches": self._num_batches,
            "seed": self._seed,
            "data": self._data_hash,
        }

    def _epoch_batches(self, epoch: int, start: int) -> Iterator[list[int]]:
        rank, world_size = self._share
        size = self._batch[0] * self._batch[1] // world_size
        for batch in islice(self._global_batches(epoch), start, None):
            yield batch[rank * size : (rank + 1) * size].tolist()

    def _global_batches(self, epoch: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self._seed, epoch])
        num_classes, num_items = self._batch
        classes = self._class_deck(rng)
        items = [_Deck(members, rng) for members in self._members]
        for _ in range(self._num_batches):
            yield np.concatenate([items[c].draw(num_items) for c in classes.draw(num_classes)])

    def _class_deck(self, rng: np.random.Generator) -> _Deck:
        length = self._classes_per_parent
        shuffle = None if length == 1 else partial(_in_runs, self._siblings, length, rng)
        return _Deck(np.arange(len(self._members)), rng, shuffle)


@final
class _Deck:
    """Cards drawn without replacement, shuffled again whenever none is left."""

    def __init__(
        self,
        cards: np.ndarray,
        rng: np.random.Generator,
        shuffle: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self._cards = cards
        self._shuffle = shuffle or partial(rng.permutation, cards)
        self._left = cards[:0]

    def draw(self, count: int) -> np.ndarray:
        """Return `count` cards, all different while there are enough.

        A hand larger than the deck has whole decks first, so that no card comes twice more often
        than another.
        """
        hand = [self._shuffle() for _ in range(count // len(self._cards))]
        rest = count % len(self._cards)
        last, self._left = self._left[:rest], self._left[rest:]
        if len(last) < rest:
            fresh = self._shuffle()
            in_hand = np.isin(fresh, last)
            fresh = np.concatenate([fresh[~in_hand], fresh[in_hand]])
            missing = rest - len(last)
            last, self._left = np.concatenate([last, fresh[:missing]]), fresh[missing:]
        return np.concatenate([*hand, last])


def _siblings(
    parents: np.ndarray | None, num_classes: int, classes_per_parent: int
) -> list[np.ndarray]:
    """Return the classes of each parent, as positions among the classes."""
    of_class = np.zeros(num_classes, np.int64) if parents is None else np.asarray(parents)
    if of_class.shape != (num_classes,) or classes_per_parent < 1:
        raise InvalidInput(
            f"expected a parent for each of {num_classes} classes and classes_per_parent of at "
            f"least 1, got parents of shape {of_class.shape} and {classes_per_parent}"
        )
    return [np.flatnonzero(of_class == parent) for parent in np.unique(of_class)]


def _in_runs(siblings: list[np.ndarray], length: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffle all classes, but leave about `length` of one parent beside each other."""
    runs: list[np.ndarray] = []
    for classes in siblings:
        num_runs = max(1, round(len(classes) / length))
        runs += np.array_split(rng.permutation(classes), num_runs)
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))])


def _check_settings(
    num_classes: int,
    classes_per_batch: int,
    items_per_class: int,
    num_batches: int | None,
    rank: int,
    world_size: int,
) -> None:
    if num_classes < 2:
        raise InvalidInput(
            f"a batch needs items of at least 2 classes to learn from, the data has {num_classes}; "
            "add classes"
        )
    if not 2 <= classes_per_batch <= num_classes:
        raise InvalidInput(
            f"classes_per_batch must be at least 2 and at most the {num_classes} classes of the "
            f"data, got {classes_per_batch}"
        )
    if items_per_class < 1 or (num_batches is not None and num_batches < 1):
        raise InvalidInput(
            f"items_per_class and num_batches must be at least 1, got {items_per_class} and "
            f"{num_batches}"
        )
    if not 0 <= rank < world_size:
        raise InvalidInput(f"rank must be from 0 to world_size - 1, got {rank} of {world_size}")
    if (classes_per_batch * items_per_class) % world_size:
        raise InvalidInput(
            f"a batch of {classes_per_batch} x {items_per_class} items cannot be shared equally by "
            f"{world_size} processes; make classes_per_batch a multiple of {world_size}"
        )
