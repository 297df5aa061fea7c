"""Verification against counting, and its protocol from a pairs file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import DataError, InvalidInput
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.pairs import Pairs, fold_accuracy
from ilk.evaluation.pairs_file import read_pairs
from ilk.evaluation.verification import compare_all, det_curve, equal_error, fnmr_at, rate_draws
from ilk.evaluation.verification_figures import verification_figures

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=6.0))
sorted_distances = st.lists(st.integers(0, 12), min_size=1, max_size=40).map(
    lambda values: np.sort(np.array(values) / 8)
)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_all_pairs_are_compared_once(distance: Distance) -> None:
    rng = np.random.default_rng(0)
    embeddings, ids = rng.normal(size=(300, 6)), rng.integers(0, 25, 300)
    found = compare_all(embeddings, ids, distance)
    first, second = np.triu_indices(300, 1)
    to = distance.paired(embeddings[first], embeddings[second])
    same = ids[first] == ids[second]
    assert found.is_complete
    np.testing.assert_allclose(found.genuine, np.sort(to[same]), atol=1e-12)
    np.testing.assert_allclose(found.impostor, np.sort(to[~same]), atol=1e-12)
    counts = np.bincount(found.genuine_class, minlength=25)
    np.testing.assert_array_equal(counts, np.bincount(ids[first][same], minlength=25))
    assert np.all(found.impostor_classes[:, 0] != found.impostor_classes[:, 1])


def test_a_sample_is_bounded_said_and_from_the_seed() -> None:
    rng = np.random.default_rng(0)
    embeddings, ids = (
        rng.normal(size=(400, 6)),
        np.append(np.zeros(150, int), rng.integers(1, 25, 250)),
    )
    found, again, other = (
        compare_all(embeddings, ids, Cosine(), max_comparisons=3000, seed=seed)
        for seed in (0, 0, 1)
    )
    assert not found.is_complete
    assert len(found.impostor) <= 3000
    assert 1500 < len(found.genuine) <= 3000
    assert len(np.unique(found.genuine_class)) == 25
    np.testing.assert_array_equal(found.impostor, again.impostor)
    assert len(other.impostor) != len(found.impostor) or (other.impostor != found.impostor).any()
    note = verification_figures(found, EvaluationSettings(), ClassBootstrap(25))[0][0].note
    assert note == "from a sample of all pairs"


@settings(deadline=None, max_examples=150)
@given(sorted_distances, sorted_distances, st.sampled_from([0.05, 0.1, 0.3]))
def test_fnmr_is_the_best_that_keeps_the_fmr(
    genuine: np.ndarray, impostor: np.ndarray, target: float
) -> None:
    found = fnmr_at(genuine, impostor, target)
    if len(impostor) < 1 / target:
        assert found is None
        return
    limits = [-1.0, *genuine, *impostor]
    allowed = [t for t in limits if (impostor <= t).mean() <= target + 1e-12]
    assert found == pytest.approx(min((genuine > t).mean() for t in allowed))


@settings(deadline=None, max_examples=150)
@given(sorted_distances, sorted_distances)
def test_equal_error_lies_between_the_rates_around_it(
    genuine: np.ndarray, impostor: np.ndarray
) -> None:
    limits = [-1.0, *np.unique([*genuine, *impostor])]
    points = [((impostor <= t).mean(), (genuine > t).mean()) for t in limits]
    after = next(i for i, (fmr, fnmr) in enumerate(points) if fmr >= fnmr)
    (fmr0, fnmr0), (fmr1, fnmr1) = points[after - 1], points[after]
    found = equal_error(genuine, impostor)
    assert max(fmr0, fnmr1) - 1e-12 <= found <= min(fmr1, fnmr0) + 1e-12
    swapped = equal_error(np.sort(-impostor), np.sort(-genuine))
    assert swapped == pytest.approx(found)


def test_det_curve_counts() -> None:
    rng = np.random.default_rng(1)
    genuine, impostor = np.sort(rng.normal(size=60)), np.sort(rng.normal(loc=1, size=90))
    x, y = det_curve(genuine, impostor)
    for fmr, fnmr in zip(x, y, strict=True):
        target = fnmr_at(genuine, impostor, fmr) if fmr else (genuine >= impostor[0]).mean()
        assert fnmr == pytest.approx(target)


def test_bootstrap_of_equal_weights_gives_the_rates() -> None:
    rng = np.random.default_rng(2)
    found = compare_all(rng.normal(size=(120, 4)), np.arange(120) % 15, Euclidean())
    fmr, fnmr = rate_draws(found, 15)(np.ones((1, 15)))
    for rates, of, sign in ((fmr[0], found.impostor, 1), (1 - fnmr[0], found.genuine, 1)):
        assert np.all(np.diff(rates) * sign >= -1e-12)
        assert set(np.round(rates * len(of), 6) % 1) <= {0.0}
        assert rates[-1] == 1.0


def test_the_interval_of_eer_is_as_wide_as_repeating_the_experiment() -> None:
    """Fresh classes each time: the spread of EER matches the bootstrap's idea of it."""
    values, widths = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        ids = np.repeat(np.arange(40), 5)
        spread = rng.uniform(0.3, 1.8, 40)[ids, None]
        embeddings = rng.normal(size=(40, 8))[ids] + spread * rng.normal(size=(200, 8))
        found = compare_all(embeddings, ids, Euclidean())
        figure = verification_figures(
            found, EvaluationSettings(), ClassBootstrap(40, num_draws=300)
        )[0][0]
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
        values.append(figure.value)
        widths.append((figure.high - figure.low) / 3.92)
    assert 0.6 < np.mean(widths) / np.std(values, ddof=1) < 1.6


def test_rates_beyond_the_comparisons_are_refused() -> None:
    rng = np.random.default_rng(3)
    found = compare_all(rng.normal(size=(60, 4)), np.arange(60) % 20, Cosine())
    figures = verification_figures(found, EvaluationSettings(), ClassBootstrap(20))[0]
    by_name = {figure.name: figure for figure in figures}
    assert by_name["fnmr_at_fmr_0.01"].value is not None
    assert by_name["fnmr_at_fmr_0.0001"].value is None
    assert "needs 10,000 impostor comparisons, got 1,710" in by_name["fnmr_at_fmr_0.0001"].note


def test_nothing_to_compare_is_said() -> None:
    found = compare_all(np.eye(3), np.arange(3), Cosine())
    figures, curves = verification_figures(found, EvaluationSettings(), ClassBootstrap(3))
    assert {figure.value for figure in figures} == {None}
    assert curves == {}


LFW = "2\t1\nAnn Lee\t1\t2\nAnn Lee\t3\tBo\t10\nBo\t1\t2\nBo\t2\tAnn Lee\t1\n"


def test_lfw_lines_of_both_lengths_are_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(LFW)
    pairs = read_pairs(file)
    assert pairs.first == ("Ann Lee_0001", "Ann Lee_0003", "Bo_0001", "Bo_0002")
    assert pairs.second == ("Ann Lee_0002", "Bo_0010", "Bo_0002", "Ann Lee_0001")
    assert pairs.is_same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "line", ["a/1.png b/2.png 1", "a/1.png\tb/2.png\tyes", "a/1.png, b/2.png, True"]
)
def test_plain_lines_are_read_and_cut_into_ten_folds(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pairs.csv"
    other = line.replace("yes", "no").replace("True", "False")
    other = other[:-1] + "0" if other.endswith("1") else other
    file.write_text("".join([f"{line}\n" for _ in range(20)] + [f"{other}\n" for _ in range(20)]))
    pairs = read_pairs(file)
    assert pairs.first[0] == "a/1.png"
    assert pairs.is_same.sum() == 20
    for fold in range(10):
        assert pairs.is_same[pairs.fold == fold].tolist() == [True, True, False, False]


def test_a_tables_head_is_skipped_and_broken_lines_are_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("file_x,file_y,Decision\r\na.png,b.png,No\r\n")
    assert read_pairs(file).is_same.tolist() == [False]
    file.write_text("a.png,b.png,No\na.png,b.png,perhaps\n")
    with pytest.raises(DataError, match="line 2: expected 'path1 path2 same'"):
        read_pairs(file)
    file.write_text("")
    with pytest.raises(DataError, match="found none"):
        read_pairs(file)
    file.write_text(LFW.replace("Bo\t1\t2\n", ""))
    with pytest.raises(DataError, match=r"promises 2 folds of 1 \+ 1 pairs"):
        read_pairs(file)
    file.write_text("1\t1\nAnn\tone\t2\nAnn\t1\tBo\t1\n")
    with pytest.raises(DataError, match="line 2: expected 'name n1 n2'"):
        read_pairs(file)


def test_a_name_that_two_items_share_means_neither() -> None:
    pairs = Pairs(("x.png", "a/x.png"), ("y", "y"), np.array([True, True]), np.array([0, 1]))
    first, second = pairs.positions(["data/a/x.png", "data/b/x.png", "data/y.jpg"])
    assert first.tolist() == [-1, 0]
    assert second.tolist() == [2, 2]


def test_each_fold_is_judged_by_the_others() -> None:
    rng = np.random.default_rng(4)
    is_same, fold = np.arange(200) % 2 == 0, np.arange(200) // 20
    distances = np.where(is_same, rng.normal(0, 1, 200), rng.normal(2, 1, 200)) + 3 * (fold == 9)
    figure = fold_accuracy(distances, is_same, fold)
    expected = []
    for this in range(10):
        others = fold != this
        values = np.sort(distances[others])
        between = (values[1:] + values[:-1]) / 2
        scores = {t: ((distances[others] <= t) == is_same[others]).sum() for t in between}
        best = [t for t, score in sorted(scores.items()) if score == max(scores.values())]
        limit = best[len(best) // 2]
        expected.append(((distances[~others] <= limit) == is_same[~others]).mean())
    assert figure.value == pytest.approx(np.mean(expected))
    assert f"standard error {np.std(expected, ddof=1) / 10**0.5:.4f}" in figure.note
    assert expected[9] < 0.7


@pytest.mark.parametrize(("num_folds", "t"), [(2, 12.706), (10, 2.262), (20, 2.093)])
def test_the_interval_over_folds_is_student_s(num_folds: int, t: float) -> None:
    rng = np.random.default_rng(5)
    is_same, fold = np.arange(400) % 2 == 0, np.arange(400) * num_folds // 400
    figure = fold_accuracy(rng.normal(0, 1, 400) + ~is_same, is_same, fold)
    error = float(figure.note.split("standard error ")[1])
    assert figure.value is not None
    assert figure.low is not None
    assert figure.value - figure.low == pytest.approx(t * error, abs=t * 1e-4)


def test_missing_items_are_errors_even_where_different_is_right() -> None:
    is_same, fold = np.arange(40) % 2 == 0, np.arange(40) // 4
    distances = np.where(is_same, 0.1, 0.9)
    distances[:4] = np.nan
    figure = fold_accuracy(distances, is_same, fold)
    assert figure.value == pytest.approx(0.9)
    assert "4 pairs with a missing item counted as errors" in figure.note
    with pytest.raises(InvalidInput, match="at least two folds, got 1"):
        fold_accuracy(distances, is_same, np.zeros(40, int))


def test_the_real_lfw_file_has_ten_folds_of_600() -> None:
    folder = os.environ.get("ILK_DATA")
    if not folder:
        pytest.skip("set ILK_DATA to a folder with lfw_pairs_aligned_112/pairs.txt")
    file = Path(folder) / "lfw_pairs_aligned_112" / "pairs.txt"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    pairs = read_pairs(file)
    assert np.bincount(pairs.fold).tolist() == [600] * 10
    assert pairs.is_same.sum() == 3000
