"""Strangers that are followed are where asking everything anew would find them, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ilk.calibration import clopper_pearson, limit_for_fpir
from ilk.closest import EXEMPLAR, IGNORE, NOT, Members, closest_classes
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput, NotEnoughTrials
from ilk.gallery.calibrator import Calibrator
from ilk.searcher import Neighbors
from ilk.thresholds import within

DISTANCES = [Euclidean(), Cosine(), Hyperbolic(curvature=0.5, max_radius=3.0)]


@dataclass
class Brute:
    """A searcher that compares a probe with every row and sorts."""

    distance: Distance
    kept: dict[int, np.ndarray] = field(default_factory=dict)
    num_asked: int = 0

    def __len__(self) -> int:
        return len(self.kept)

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        self.kept.update(zip(ids.tolist(), embeddings.astype(np.float32), strict=True))

    def drop(self, ids: np.ndarray) -> None:
        self.kept = {key: row for key, row in self.kept.items() if key not in ids}

    def compared(self, probe: np.ndarray) -> list[tuple[float, int]]:
        """Distance and id of every row, closest first."""
        rows = np.array(list(self.kept.values()), np.float64).reshape(-1, len(probe))
        values = self.distance.paired(np.repeat(probe[None].astype(np.float64), len(rows), 0), rows)
        return sorted(zip(values.tolist(), self.kept, strict=True))

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        self.num_asked += len(probes)
        found = [self.compared(probe)[:k] for probe in probes]
        shape = (len(probes), min(k, len(self)))
        ids = np.array([[key for _, key in near] for near in found], np.int64).reshape(shape)
        return Neighbors(ids, np.array([[d for d, _ in near] for near in found]).reshape(shape))

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(list(self.kept), np.int64), np.array(list(self.kept.values()))


def by_definition(
    searcher: Brute, members: Members, probe: np.ndarray, own_class: int
) -> tuple[float, int]:
    """The closest template of a class that is not ruled out: distance and row."""
    rows = [
        (value, int(members.role_of(np.array([key]))[0]), key)
        for value, key in searcher.compared(probe)
    ]
    class_of = {key: int(members.class_of(np.array([key]))[0]) for _, _, key in rows}
    best = (np.inf, -1)
    for distance, role, key in rows:
        if role != EXEMPLAR or class_of[key] == own_class:
            continue
        is_barred = any(
            d <= distance and (r == IGNORE or (r == NOT and class_of[k] == class_of[key]))
            for d, r, k in rows
        )
        if not is_barred:
            best = min(best, (distance, key)) if best[1] >= 0 else (distance, key)
    return best


class Gallery:
    """Rows, what they are, and a calibrator that follows them."""

    def __init__(self, distance: Distance, seed: int, *, has_own: bool, size: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.distance, self.size = distance, size
        self.searcher, self.members = Brute(distance), Members()
        strangers = rng.integers(-2, 3, (12, size)).astype(np.float32)
        self.own = rng.integers(-1, 4, 12) if has_own else None
        self.groups = np.arange(12) // 2
        self.strangers = strangers
        self.calibrator = self.fresh()
        self.put(np.arange(10), rng, np.zeros(10, np.int8), 4)

    def fresh(self) -> Calibrator:
        calibrator = Calibrator(
            self.strangers, self.groups, basis="b", distance=self.distance, own_class=self.own
        )
        calibrator.recompute(self.searcher, self.members)
        return calibrator

    def put(
        self, ids: np.ndarray, rng: np.random.Generator, roles: np.ndarray, num_classes: int
    ) -> None:
        rows = rng.integers(-2, 3, (len(ids), self.size)).astype(np.float32)
        self.change(ids[:0], ids, rows, rng.integers(0, num_classes, len(ids)), roles)

    def change(
        self,
        dropped: np.ndarray,
        ids: np.ndarray,
        rows: np.ndarray,
        class_ids: np.ndarray,
        roles: np.ndarray,
    ) -> None:
        self.searcher.drop(dropped)
        self.members.drop(dropped)
        self.searcher.put(ids, rows)
        self.members.put(ids, np.where(roles == IGNORE, -1, class_ids), roles)
        self.calibrator.follow(self.searcher, self.members, dropped, ids, rows)

    def check(self) -> None:
        anew = self.fresh()
        assert self.calibrator.closest.tolist() == anew.closest.tolist()
        assert self.calibrator.closest_rows.tolist() == anew.closest_rows.tolist()
        kept = anew.closest[self.calibrator.is_kept]
        assert self.calibrator.distances.rising.tolist() == sorted(kept.tolist())
        for at, probe in enumerate(self.strangers):
            own = -1 if self.own is None else int(self.own[at])
            found = (self.calibrator.closest[at], self.calibrator.closest_rows[at])
            assert found == by_definition(self.searcher, self.members, probe, own)


CHANGES = st.lists(
    st.tuples(
        st.sets(st.integers(0, 19), max_size=3),  # dropped
        st.sets(st.integers(0, 19), max_size=3),  # put: new rows, replaced rows
        st.sampled_from([(0,), (0,), (0, 0, NOT), (NOT,), (IGNORE,), (0, IGNORE)]),
        st.sampled_from(["row", "class", "both"]),  # what changes of a row that is there
        st.integers(0, 1000),
    ),
    max_size=6,
)


@pytest.mark.parametrize("distance", DISTANCES, ids=repr)
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50), st.booleans(), CHANGES)
@example(0, False, [(set(), {11}, (IGNORE,), "row", 0), ({11}, set(), (0,), "row", 0)])
def test_following_is_asking_everything_anew(
    distance: Distance,
    seed: int,
    has_own: bool,
    changes: list[tuple[set[int], set[int], tuple[int, ...], str, int]],
) -> None:
    gallery = Gallery(distance, seed, has_own=has_own)
    gallery.check()
    for dropped, put, roles, what, other in changes:
        rng = np.random.default_rng(other)
        ids = rng.permutation(np.array(sorted(put - dropped), np.int64))
        rows = rng.integers(-2, 3, (len(ids), 3)).astype(np.float32)
        chosen = np.array(rng.choice(roles, len(ids)), np.int8)
        class_ids = rng.integers(0, 4, len(ids))
        for at, key in enumerate(ids.tolist()):
            if key in gallery.searcher.kept and what == "class":
                rows[at] = gallery.searcher.kept[key]
        gallery.change(np.array(sorted(dropped), np.int64), ids, rows, class_ids, chosen)
        gallery.check()


@pytest.mark.parametrize("distance", DISTANCES, ids=repr)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 300.0])
def test_real_numbers_are_followed_to_the_last_bit(distance: Distance, scale: float) -> None:
    """Rows close to strangers, copies of them, and rows far away; more than one block of them."""
    rng = np.random.default_rng(int(scale))
    searcher, members = Brute(distance), Members()
    strangers = (rng.normal(size=(20, 33)) * scale).astype(np.float32)
    calibrator = Calibrator(strangers, np.arange(20), basis="b", distance=distance)
    calibrator.recompute(searcher, members)
    start = 0
    for count in (5, 1, 1, 3, 2):
        ids = np.arange(start, start + count)
        near = strangers[rng.integers(0, 20, count)]
        noise = rng.normal(size=(count, 33)) * rng.choice([0, 1e-7, 1e-2, 1], (count, 1)) * scale
        rows = (near + noise).astype(np.float32)
        searcher.put(ids, rows)
        members.put(ids, rng.integers(0, 3, count), np.zeros(count, np.int8))
        calibrator.follow(searcher, members, ids[:0], ids, rows)
        found = closest_classes(searcher, members, strangers)
        assert calibrator.closest.tolist() == found.distances[:, 0].tolist()
        assert calibrator.closest_rows.tolist() == found.rows[:, 0].tolist()
        start += count


def test_only_strangers_whom_it_concerns_are_asked_again() -> None:
    gallery = Gallery(Euclidean(), 3, has_own=False)
    before = gallery.searcher.num_asked
    gallery.put(np.array([30]), np.random.default_rng(0), np.zeros(1, np.int8), 4)
    assert gallery.searcher.num_asked == before
    decided = np.unique(gallery.calibrator.closest_rows)
    gallery.change(decided[:1], *nothing(3))
    concerned = gallery.searcher.num_asked - before
    assert 0 < concerned < len(gallery.strangers)
    unused = np.setdiff1d(np.array(list(gallery.searcher.kept)), gallery.calibrator.closest_rows)
    gallery.change(unused[:1], *nothing(3))
    assert gallery.searcher.num_asked == before + concerned
    gallery.check()


def nothing(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    ids = np.zeros(0, np.int64)
    return ids, np.zeros((0, size), np.float32), ids, ids.astype(np.int8)


def test_of_new_rows_at_the_same_distance_the_smallest_id_decides() -> None:
    gallery = Gallery(Euclidean(), 3, has_own=False)
    far = int(np.argmax(gallery.calibrator.closest))
    rows = np.repeat(gallery.strangers[far][None], 3, 0)
    ids, class_ids = np.array([42, 40, 41]), np.array([1, 2, 3])
    gallery.change(ids[:0], ids, rows, class_ids, np.zeros(3, np.int8))
    assert gallery.calibrator.closest_rows[far] == 40
    gallery.check()


def test_many_new_rows_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_PROBES_AT_ONCE", 5), ("_ROWS_AT_ONCE", 2), ("_EXACT_ELEMENTS", 7)):
        monkeypatch.setattr(f"ilk.gallery.calibrator.{name}", value)
    gallery = Gallery(Euclidean(), 1, has_own=True)
    rng = np.random.default_rng(8)
    for start in range(20, 60, 8):
        gallery.put(np.arange(start, start + 8), rng, np.zeros(8, np.int8), 4)
        gallery.check()
    gallery.put(np.arange(60, 75), rng, rng.choice([0, 0, 0, NOT], 15).astype(np.int8), 4)
    gallery.check()


def test_the_threshold_is_chosen_on_those_that_count() -> None:
    searcher, members = Brute(Euclidean()), Members()
    ids, row = np.array([4]), np.zeros((1, 1), np.float32)
    searcher.put(ids, row)
    members.put(ids, np.array([0]), np.zeros(1, np.int8))
    strangers = np.arange(1.0, 41.0, dtype=np.float32)[:, None]
    calibrator = Calibrator(strangers, np.arange(40) // 2, basis="them", distance=Euclidean())
    calibrator.recompute(searcher, members)
    assert calibrator.distances.rising.tolist() == strangers[:, 0].tolist()
    calibrator.keep(np.arange(40) >= 10)
    threshold = calibrator.threshold(0.1, gallery_size=1, fingerprint="abc")
    assert threshold.value == limit_for_fpir(np.arange(11.0, 41.0), 0.1, np.arange(30) // 2)
    assert calibrator.distances.rising.tolist() == list(range(11, 41))
    assert (threshold.num_trials, threshold.num_classes, threshold.num_named) == (30, 15, 1)
    assert threshold.measured_fpir == pytest.approx(0.5 / 15)
    assert (threshold.basis, threshold.gallery_size, threshold.fingerprint) == ("them", 1, "abc")
    assert threshold.distance == {"name": "euclidean"}
    assert threshold.interval is not None
    low, high = threshold.interval
    assert 0 < low < 1 / 30 < clopper_pearson(1, 30)[1] <= high < 1
    with pytest.raises(
        NotEnoughTrials, match=r"at least 99 classes of strangers, got 15 \(30 probes\); add 84"
    ):
        calibrator.threshold(0.01, gallery_size=1, fingerprint="")


def test_strangers_that_do_not_count_are_followed_and_can_come_back() -> None:
    gallery = Gallery(Euclidean(), 5, has_own=False)
    gallery.calibrator.keep(np.zeros(12, bool))
    assert len(gallery.calibrator.distances) == 0
    gallery.put(np.array([20, 21]), np.random.default_rng(1), np.zeros(2, np.int8), 4)
    gallery.check()
    gallery.calibrator.keep(np.ones(12, bool))
    assert gallery.calibrator.distances.rising.tolist() == sorted(gallery.fresh().closest.tolist())


def test_nobody_is_named_by_an_empty_gallery_and_the_threshold_stays_a_number() -> None:
    calibrator = Calibrator(
        np.ones((30, 2), np.float32), np.arange(30), basis="b", distance=Cosine()
    )
    calibrator.recompute(Brute(Cosine()), Members())
    assert np.isinf(calibrator.closest).all()
    threshold = calibrator.threshold(0.1, gallery_size=0, fingerprint="")
    assert (threshold.value, threshold.num_named) == (2.0, 0)
    nobody = Calibrator(np.zeros((0, 2)), np.zeros(0, int), basis="b", distance=Cosine())
    nobody.recompute(Brute(Cosine()), Members())
    with pytest.raises(NotEnoughTrials, match=r"got 0 \(0 probes\); add 9$"):
        nobody.threshold(0.1, gallery_size=0, fingerprint="")


def test_a_state_is_taken_up_and_followed_on() -> None:
    gallery = Gallery(Euclidean(), 2, has_own=True)
    gallery.put(np.array([15]), np.random.default_rng(0), np.array([NOT], np.int8), 4)
    state = {name: array.copy() for name, array in gallery.calibrator.state().items()}
    resumed = Calibrator(
        gallery.strangers, gallery.groups, basis="b", distance=Euclidean(), own_class=gallery.own
    )
    assert resumed.adopt(state)
    gallery.calibrator = resumed
    gallery.check()
    gallery.change(np.array([15]), *nothing(3))  # it knows that this row barred
    gallery.check()


@pytest.mark.parametrize("has_own", [False, True])
def test_strangers_that_come_and_go_leave_the_others_as_they_are(has_own: bool) -> None:
    gallery = Gallery(Euclidean(), 4, has_own=has_own)
    gallery.put(np.array([15]), np.random.default_rng(0), np.array([NOT], np.int8), 4)
    came_from = np.array([3, -1, 0, 7, -1, 11])
    rng = np.random.default_rng(9)
    rows = np.where(
        (came_from >= 0)[:, None], gallery.strangers[came_from], rng.integers(-2, 3, (6, 3))
    ).astype(np.float32)
    own = None if gallery.own is None else np.where(came_from >= 0, gallery.own[came_from], 2)
    heir = Calibrator(rows, np.arange(6), basis="b", distance=Euclidean(), own_class=own)
    before = gallery.searcher.num_asked
    gallery.calibrator.pass_on(heir, came_from, gallery.searcher, gallery.members)
    assert gallery.searcher.num_asked == before + 2
    gallery.strangers, gallery.groups, gallery.own = rows, np.arange(6), own
    gallery.calibrator = heir
    gallery.check()
    gallery.change(np.array([15]), *nothing(3))
    gallery.check()


def test_the_state_of_other_strangers_is_not_taken_up() -> None:
    gallery = Gallery(Euclidean(), 2, has_own=False)
    state = gallery.calibrator.state()
    strangers, groups = gallery.strangers, gallery.groups

    def other(embeddings: np.ndarray, distance: Distance, own: np.ndarray | None) -> Calibrator:
        return Calibrator(
            embeddings, groups[: len(embeddings)], basis="b", distance=distance, own_class=own
        )

    assert other(strangers, Euclidean(), None).adopt(state)
    assert not other(strangers + 1, Euclidean(), None).adopt(state)
    assert not other(strangers[:-1], Euclidean(), None).adopt(state)
    assert not other(strangers, Cosine(), None).adopt(state)
    assert not other(strangers, Euclidean(), np.zeros(12, np.int64)).adopt(state)
    assert not other(strangers, Euclidean(), None).adopt({**state, "closest": np.zeros(3)})
    assert not other(strangers, Euclidean(), None).adopt({"closest": state["closest"]})


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"got \(3, 2\), \(2,\) and \(3,\)"):
        Calibrator(np.ones((3, 2)), np.zeros(2, int), basis="b", distance=Cosine())
    calibrator = Calibrator(np.ones((3, 2)), np.zeros(3, int), basis="b", distance=Cosine())
    with pytest.raises(InvalidInput, match=r"is_kept \(3,\), got \(2,\)"):
        calibrator.keep(np.ones(2, bool))


def test_a_row_left_out_is_asked_about_its_class_without_it() -> None:
    searcher, members = Brute(Euclidean()), Members()
    ids, rows = np.arange(4), np.array([[0.0], [3.0], [1.0], [9.0]], np.float32)
    searcher.put(ids, rows)
    members.put(ids, np.array([0, 0, 1, 1]), np.zeros(4, np.int8))
    found = closest_classes(searcher, members, rows, 2, except_row=ids)
    assert found.rows.tolist() == [[2, 1], [2, 0], [0, 3], [1, 2]]
    assert found.class_ids.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert within(found.distances, 9.0).all()
