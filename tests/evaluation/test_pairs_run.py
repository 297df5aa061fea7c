"""Pairs of pictures: judged by folds and by a limit, with failures as errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ilk.calibration import limit_for_fpir
from ilk.detector import Region
from ilk.distances import Euclidean
from ilk.encoder import Encoder
from ilk.errors import DataError, InvalidInput, NotEnoughTrials, UnreadableItem
from ilk.evaluation.acquisition import Acquired, acquire, failure_figures
from ilk.evaluation.impostor_limit import limit_for_fmr
from ilk.evaluation.pairs import Pairs
from ilk.evaluation.pairs_run import acquire_pairs, as_evaluation, run_pairs, strangers_limit
from ilk.evaluation.pairs_verification import compare_pairs
from ilk.images import Box
from ilk.items import Item, Items
from ilk.preprocess import Preprocess

SIDE = 4


class Mean:
    """Embeds a picture as its mean red and green."""

    preprocess = Preprocess(size_pixels=SIDE, mean=(0.0,), std=(1.0,))
    embedding_size = 2
    fingerprint = "mean"

    def __init__(self) -> None:
        self.num_embedded = 0

    def embed(self, inputs: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        self.num_embedded += len(inputs)
        return np.asarray(inputs).mean(axis=(2, 3))[:, :2]


class Columns:
    """Finds a region in every column of white pixels in the first row."""

    noun = "column"
    is_whole = False

    def __init__(self) -> None:
        self.num_seen = 0

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "columns"}

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        self.num_seen += 1
        at = np.flatnonzero(image[0].min(axis=-1) == 255).tolist()
        return tuple(Region(box=(x, 1.0, x + 1.0, 2.0 + x)) for x in at)

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        cut = np.repeat(np.repeat(image[1:2, int(region.box[0]) :][:, :1], SIDE, 0), SIDE, 1)
        cut[0, 0, 2] ^= 255  # which the encoder does not see: a blank picture would be refused
        return cut


def picture(label: str, name: str, value: Sequence[int], columns: int = 1, **other: Any) -> Item:
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[0, :columns] = 255
    pixels[1:, :, :2] = value
    return Item(pixels, label, name, **other)


def people(num: int = 60, seed: int = 0, **lost: int) -> Items:
    """Two pictures of each of some people, and `lost` ones without or with two columns."""
    rng = np.random.default_rng(seed)
    items = []
    for person in range(num):
        centre = rng.integers(20, 235, 2)
        for i in range(2):
            value = (centre + rng.integers(-3, 4, 2)).tolist()
            name = f"p{person:02d}/{i}"
            side = {"camera": "left" if person % 2 else "right"}
            items.append(
                picture(
                    f"p{person:02d}", name, value, lost.get(f"p{person:02d}_{i}", 1), metadata=side
                )
            )
    return Items(tuple(items), origin="people")


def all_pairs(num: int = 60) -> Pairs:
    """Each person against themself and the next, in ten folds."""
    first = [f"p{i % num:02d}/0" for i in range(2 * num)]
    second = [f"p{i:02d}/1" for i in range(num)] + [f"p{(i + 1) % num:02d}/1" for i in range(num)]
    is_same = np.arange(2 * num) < num
    return Pairs(tuple(first), tuple(second), is_same, np.arange(2 * num) % num * 10 // num)


def acquired(items: Items, pairs: Pairs, **options: Any) -> tuple[Acquired, np.ndarray, np.ndarray]:
    encoder: Encoder = Mean()
    return acquire_pairs(pairs, items, encoder, Columns(), **options)


def figures(found: Any) -> dict[str, Any]:
    return {figure.name: figure for figure in found.figures}


def test_each_picture_is_looked_at_and_embedded_once_and_only_those_that_are_asked_for() -> None:
    encoder, detector = Mean(), Columns()
    pairs = all_pairs(40)
    found, first, second = acquire_pairs(pairs, people(60), encoder, detector)
    assert detector.num_seen == 80
    assert encoder.num_embedded == len(set(found.embedded.hashes)) <= 80
    assert len(found.pictures) == 80
    assert [found.pictures.items[at].name for at in first] == list(pairs.first)
    assert [found.pictures.items[at].name for at in second] == list(pairs.second)


def test_failures_are_errors_of_either_kind_and_counted_by_their_code() -> None:
    """One picture without and one with two columns: each is in a genuine and an impostor pair."""
    pairs = all_pairs()
    clean = run_pairs(pairs, *_split(acquired(people(), pairs)), Euclidean(), target_fmr=0.05)
    lost = people(p03_0=0, p07_0=2)
    run = run_pairs(pairs, *_split(acquired(lost, pairs)), Euclidean(), target_fmr=0.05)
    assert run.acquired.codes == {"no_column": 1, "several_columns": 1}
    assert run.found.counts["genuine_compared"] == 58
    assert run.found.counts["pictures_without_probe"] == 2
    assert np.isnan(run.found.distances).sum() == 4
    before, after = figures(clean.found), figures(run.found)
    assert after["pairs_accuracy"].value <= before["pairs_accuracy"].value - 4 / 120 + 1 / 120
    assert after["accuracy_at_fmr_0.05"].num_trials == 120
    is_right = (run.found.distances <= run.found.limits) == pairs.is_same
    num_right = int((is_right & ~np.isnan(run.found.distances)).sum())
    assert after["accuracy_at_fmr_0.05"].value == pytest.approx(num_right / 120)
    assert is_right.sum() == num_right + 2  # the impostors without a distance are errors, too
    assert after["fmr_at_target_0.05"].num_trials == 58
    assert after["fta"].value == pytest.approx(2 / 120)
    assert after["fta"].note == "no probe: no_column 1, several_columns 1"
    largest, _, _ = acquired(lost, pairs, choice="largest")
    assert largest.codes == {"no_column": 1}
    evaluation = as_evaluation(run, Euclidean())
    assert len(evaluation.class_ids) == len(evaluation.hashes) == 118
    assert len(evaluation.genuine) == 58


def test_a_detected_picture_keeps_its_name_label_and_metadata() -> None:
    found = acquire(Mean(), Columns(), people(3, p01_1=3), choice="largest")
    items = found.embedded.items.items
    assert [item.name for item in items] == ["p00/0", "p00/1", "p01/0", "p01/1", "p02/0", "p02/1"]
    assert items[3].metadata == {"camera": "left"}
    assert items[0].source.shape == (SIDE, SIDE, 3)  # type: ignore[union-attr]


def test_missing_pictures_are_errors_and_named() -> None:
    pairs = all_pairs()
    some = people().where(lambda item: item.name != "p05/0")
    run = run_pairs(pairs, *_split(acquired(some, pairs)), Euclidean(), target_fmr=0.05)
    assert run.missing == ("p05/0",)
    assert run.found.counts["pictures_missing"] == 1
    assert np.isnan(run.found.distances).sum() == 2
    with pytest.raises(DataError, match=r"none of the 120 pairs .* name 'p00/0', there is 'x'"):
        acquired(Items((picture("x", "x", (1, 2)),), origin="elsewhere"), pairs)


def test_a_limit_of_strangers_leaves_out_whom_the_pairs_show() -> None:
    pairs = all_pairs()
    shown, first, second = acquired(people(), pairs)
    others = acquire(Mean(), Columns(), people(40, seed=9))
    both = Items((*people().items, *_renamed(people(40, seed=9))), origin="both")
    limit = strangers_limit(acquire(Mean(), Columns(), both), shown, Euclidean(), pairs, 0.01)
    assert (
        limit.basis
        == "40 classes (80 pictures) of both, without 120 pictures of people whom "
        + ("the pairs show")
    )
    wide = others.embedded.embeddings.astype(np.float64)
    a, b = np.triu_indices(80, 1)
    is_impostor = a // 2 != b // 2
    expected = limit_for_fpir(Euclidean().paired(wide[a], wide[b])[is_impostor], 0.01)
    assert limit.value == pytest.approx(expected)
    run = run_pairs(pairs, shown, (first, second), Euclidean(), target_fmr=0.01, limit=limit)
    accepted = run.found.distances <= limit.value
    right = figures(run.found)["accuracy_at_fmr_0.01"].value
    assert right == pytest.approx((accepted == pairs.is_same).mean())
    with pytest.raises(NotEnoughTrials, match="needs at least 999,999 impostor comparisons"):
        strangers_limit(others, shown, Euclidean(), pairs, 1e-6)


def test_without_strangers_no_fold_is_judged_by_its_own_impostors() -> None:
    rng = np.random.default_rng(0)
    is_same, fold = np.arange(800) % 2 == 0, np.arange(800) // 80
    distances = np.where(is_same, rng.normal(0, 1, 800), rng.normal(5, 1, 800))
    names = tuple(str(i) for i in range(1600))
    pairs = Pairs(names[:800], names[800:], is_same, fold)
    found = compare_pairs(pairs, distances, target_fmr=0.01)
    for this in range(10):
        others = distances[~is_same & (fold != this)]
        limit = limit_for_fmr(others, 0.01, num_classes=1, basis="").value
        assert found.limits[fold == this].tolist() == [limit] * 80
    none = compare_pairs(pairs, distances, target_fmr=0.001)
    assert np.isnan(none.limits).all()
    assert figures(none)["accuracy_at_fmr_0.001"].value is None
    assert "needs at least 999 impostor comparisons, got 360" in none.basis
    with pytest.raises(InvalidInput, match="expected 800 distances"):
        compare_pairs(pairs, distances[1:])


def test_groups_of_pairs_and_of_pictures() -> None:
    """Pictures of the left camera are noisy: their genuine pairs are refused more often."""
    rng = np.random.default_rng(3)
    items = []
    for person in range(200):
        is_left = person % 2 == 1
        centre, noise = rng.integers(40, 215, 2), 40 if is_left else 3
        for i in range(2):
            value = (centre + rng.integers(-noise, noise + 1, 2)).clip(0, 255).tolist()
            side = {"camera": "left" if is_left else "right"}
            items.append(picture(f"p{person:02d}", f"p{person:02d}/{i}", value, metadata=side))
    first, second = [], []
    for person in range(200):
        first += [f"p{person:02d}/0"] * 2
        second += [f"p{person:02d}/1", f"p{(person + 2) % 200:02d}/1"]
    pairs = Pairs(
        tuple(first),
        tuple(second),
        np.arange(400) % 2 == 0,
        np.arange(400) // 40,
        metadata={"half": tuple("ab"[i // 200] for i in range(400))},
    )
    got = acquired(Items(tuple(items)), pairs)
    run = run_pairs(pairs, *_split(got), Euclidean(), target_fmr=0.05, by=("camera", "half"))
    camera, half = run.found.groups
    verdicts = {(rate.rate, rate.group): rate.verdict for rate in camera.rates}
    assert verdicts["fnmr_at_target_0.05", "left"] == "higher"
    assert verdicts["fnmr_at_target_0.05", "right"] == "lower"
    assert {rate.rate for rate in camera.rates} == {"fnmr_at_target_0.05", "fmr_at_target_0.05"}
    assert {rate.rate for rate in half.rates} == {"fnmr_at_target_0.05", "fmr_at_target_0.05"}
    assert not half.warnings
    fnmr = next(r for r in camera.rates if (r.rate, r.group) == ("fnmr_at_target_0.05", "left"))
    is_left = np.arange(400) // 2 % 2 == 1
    refused = (run.found.distances > run.found.limits)[is_left & pairs.is_same]
    assert fnmr.value == pytest.approx(refused.mean())
    with pytest.raises(InvalidInput, match="got 'camra'; did you mean 'camera'"):
        run_pairs(pairs, *_split(got), Euclidean(), by=("camra",))


def test_pairs_of_two_groups_are_in_neither() -> None:
    pairs = all_pairs()  # impostor pairs are of neighbours, and so of two cameras
    got = acquired(people(p03_0=0), pairs)
    run = run_pairs(pairs, *_split(got), Euclidean(), target_fmr=0.05, by=("camera",))
    assert {rate.rate for rate in run.found.groups[0].rates} == {"fnmr_at_target_0.05", "fta"}


def test_unreadable_files_stop_or_are_failures(tmp_path: Any) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    broken = Items((Item(tmp_path / "x.png", "x", "x.png"), *people(2).items))
    found = acquire(Mean(), Columns(), broken)
    assert [failure.code for failure in found.failures] == ["unreadable"]
    assert found.position.tolist() == [1, 2, 3, 4]
    with pytest.raises(UnreadableItem, match=r"x\.png"):
        acquire(Mean(), Columns(), broken, on_unreadable="stop")


def test_failure_figures_are_of_pictures_and_of_people() -> None:
    found = acquire(Mean(), Columns(), people(10, p01_0=0, p01_1=0, p02_0=2))
    fta, fte = failure_figures(found)
    assert (fta.name, fta.num_trials, fte.name, fte.num_trials) == ("fta", 20, "fte", 10)
    assert fta.value == pytest.approx(3 / 20)
    assert fte.value == pytest.approx(1 / 10)
    assert not failure_figures(acquire(Mean(), Columns(), people(4)))


def _split(got: tuple[Acquired, np.ndarray, np.ndarray]) -> tuple[Acquired, tuple[Any, Any]]:
    return got[0], got[1:]


def _renamed(items: Items) -> list[Item]:
    from dataclasses import replace

    return [replace(item, label=f"new {item.label}") for item in items.items]
