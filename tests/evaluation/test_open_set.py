"""Open-set answers and figures against slow references; the populations never mix."""

from __future__ import annotations

import numpy as np
import pytest

from ilk.calibration import limit_for_fpir
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.evaluation import EvaluationSettings
from ilk.evaluation.identification import (
    answer,
    auroc,
    auroc_draws,
    dir_curve,
    fnir_draws,
    limit_draws,
)
from ilk.evaluation.intervals import ClassBootstrap
from ilk.evaluation.open_set import OpenSet, open_set
from ilk.evaluation.protocol import draw_protocol

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=6.0))


def clusters(
    num_classes: int, size: int, noise: float, dims: int = 12, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(num_classes), size)
    embeddings = rng.normal(size=(num_classes, dims))[ids] + noise * rng.normal(
        size=(len(ids), dims)
    )
    return embeddings.astype(np.float32), ids


def run(embeddings: np.ndarray, ids: np.ndarray, distance: Distance, **options: int) -> OpenSet:
    """By the rate that ten classes of strangers in a half can carry."""
    bootstrap = ClassBootstrap(ids.max() + 1, num_draws=200)
    settings = EvaluationSettings(**{"fpir_targets": (0.1, 0.001), **options})  # type: ignore[arg-type]
    return open_set(embeddings, ids, distance, settings, bootstrap)


def value(found: OpenSet, name: str) -> float:
    figure = next(figure for figure in found.figures if figure.name == name)
    assert figure.value is not None
    return figure.value


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_answers_equal_the_brute_force(distance: Distance, memory: int) -> None:
    embeddings, ids = clusters(15, 9, 0.9)
    embeddings[40:50] = embeddings[:10]
    draw = draw_protocol(ids, num_exemplars=3)
    found = answer(embeddings, ids, distance, draw, memory_bytes=memory)
    assert found.probe.tolist() == [*draw.mated, *draw.strangers]
    for row, probe in enumerate(found.probe):
        to = distance.paired(
            np.repeat(embeddings[probe : probe + 1], len(draw.exemplars), 0).astype(float),
            embeddings[draw.exemplars].astype(float),
        )
        closest = sorted(set(ids[draw.exemplars][to == to.min()]))
        assert found.distance[row] == to.min()
        assert found.closest[row] == closest[0]
        assert found.found[row] == ((ids[probe] in closest) / len(closest))


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_a_constant_encoder_knows_nobody(distance: Distance) -> None:
    _, ids = clusters(40, 12, 1.0)
    found = run(np.full((480, 4), 0.5, np.float32), ids, distance)
    assert value(found, "rank_1") == pytest.approx(1 / 20)
    assert value(found, "auroc") == 0.5
    assert value(found, "fnir_at_fpir_0.1") == 1.0


def test_a_perfect_encoder_misses_nobody() -> None:
    embeddings, ids = clusters(40, 12, 1e-3)
    found = run(embeddings, ids, Euclidean())
    assert value(found, "rank_1") == value(found, "auroc") == 1.0
    assert value(found, "fnir_at_fpir_0.1") == 0.0


def test_the_threshold_never_comes_from_the_classes_it_judges() -> None:
    """Half 1 lies inside the gallery, half 0 far off. Judged by its own, half 1 would be at 1 %."""
    embeddings, ids = clusters(40, 12, 0.05)
    draw = draw_protocol(ids, seed=[0, 2, 0])
    far, near = (draw.strangers[draw.half == half] for half in (0, 1))
    embeddings[far] += 50
    embeddings[near] = embeddings[draw.exemplars[: len(near) % len(draw.exemplars)][0]] + 1e-3
    found = run(embeddings, ids, Euclidean(), num_draws=1)
    assert value(found, "fpir_at_target_0.1") == pytest.approx(len(near) / len(draw.strangers))


def test_fnir_counts_a_wrong_name_as_a_miss_and_strangers_never() -> None:
    """With every stranger far away the limit accepts all, and FNIR is 1 - rank-1 exactly."""
    embeddings, ids = clusters(40, 20, 1.2)
    draw = draw_protocol(ids, seed=[0, 2, 0])
    embeddings[draw.strangers] += 100
    found = run(embeddings, ids, Euclidean(), num_draws=1)
    assert 0.02 < value(found, "rank_1") < 0.98
    assert value(found, "fnir_at_fpir_0.1") == pytest.approx(1 - value(found, "rank_1"))


def test_fpir_on_fresh_strangers_keeps_its_promise() -> None:
    rates = []
    for seed in range(12):
        embeddings, ids = clusters(60, 10, 0.5, seed=seed)
        rates.append(value(run(embeddings, ids, Cosine(), num_draws=1), "fpir_at_target_0.1"))
    assert np.mean(rates) <= 0.1 + 3 * np.std(rates) / 12**0.5
    assert np.mean(rates) > 0.02


def test_too_few_strangers_give_no_figure_but_a_reason() -> None:
    embeddings, ids = clusters(20, 10, 0.5)
    found = {figure.name: figure for figure in run(embeddings, ids, Cosine()).figures}
    for name in ("fnir_at_fpir_0.1", "fnir_at_fpir_0.001", "fpir_at_target_0.001"):
        assert found[name].value is None
        assert found[name].note.startswith("not enough probes")
        assert found[name].num_trials == 100
    note = found["fnir_at_fpir_0.001"].note
    assert "needs 999 classes of strangers in each half, and there are 5, which carry 0.17" in note
    assert found["auroc"].value is not None


@pytest.mark.parametrize(
    ("num_classes", "targets"),
    [(8, (0.34,)), (20, (0.17,)), (36, (0.1,)), (76, (0.05, 0.1)), (396, (0.01, 0.05))],
)
def test_without_rates_they_are_the_smallest_that_the_strangers_can_carry(
    num_classes: int, targets: tuple[float, ...]
) -> None:
    """Half of the classes are strangers, and half of these judge the others."""
    embeddings, ids = clusters(num_classes, 6, 0.5)
    bootstrap = ClassBootstrap(num_classes, num_draws=20)
    found = open_set(embeddings, ids, Cosine(), EvaluationSettings(num_draws=1), bootstrap)
    assert found.fpir_targets == targets
    for target in targets:
        assert value(found, f"fnir_at_fpir_{target:g}") >= 0
        assert value(found, f"fpir_at_target_{target:g}") >= 0


def test_classes_too_small_to_enroll_give_no_figure_but_a_reason() -> None:
    found = run(*clusters(20, 4, 0.5), Cosine())
    assert {figure.value for figure in found.figures} == {None}
    assert "more than 5 items" in found.figures[0].note
    assert found.threshold is None
    assert len(found.trial.probe) == 0


def test_trial_and_threshold_belong_to_the_first_draw() -> None:
    embeddings, ids = clusters(40, 12, 0.4)
    found = run(embeddings, ids, Cosine())
    trial = found.trial
    np.testing.assert_array_equal(trial.true, ids[trial.probe])
    assert set(trial.half[trial.is_mated]) == {-1}
    assert set(trial.half[~trial.is_mated]) == {0, 1}
    assert not set(trial.true[trial.is_mated]) & set(trial.true[~trial.is_mated])
    assert found.threshold is not None
    strangers = trial.distance[~trial.is_mated]
    classes = trial.true[~trial.is_mated]
    assert found.threshold.value == limit_for_fpir(strangers, 0.1, classes)
    assert found.threshold.num_classes == 20
    assert found.threshold.gallery_size == found.counts["enrolled_classes"] == 20


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    mated, strangers = rng.integers(0, 9, 30) / 8, rng.integers(3, 12, 40) / 8
    pairs = [(s > m) + (s == m) / 2 for m in mated for s in strangers]
    assert auroc(mated, strangers) == pytest.approx(np.mean(pairs))


def test_bootstrap_draws_equal_repeated_items() -> None:
    """Weights of a draw mean the same as writing each class down that often."""
    rng = np.random.default_rng(2)
    mated, strangers = rng.integers(0, 30, 80) / 8, rng.integers(5, 60, 300) / 8
    of_mated, of_strangers = rng.integers(0, 10, 80), rng.integers(10, 30, 300)
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=8).astype(float)
    areas = auroc_draws(mated, of_mated, strangers, of_strangers)(weights)
    limits = limit_draws(strangers, of_strangers, 0.1)(weights)
    for row, area, limit in zip(weights.astype(int), areas, limits, strict=True):
        repeated = np.repeat(strangers, row[of_strangers])
        assert area == pytest.approx(auroc(np.repeat(mated, row[of_mated]), repeated))
        copy = np.concatenate([np.arange(count) for count in row[of_strangers]])
        groups = np.repeat(of_strangers, row[of_strangers]) + 100 * copy  # each copy is a class
        assert limit == limit_for_fpir(repeated, 0.1, groups)


def test_fnir_draws_of_equal_weights_are_the_figure() -> None:
    embeddings, ids = clusters(40, 12, 0.6)
    found = run(embeddings, ids, Cosine(), num_draws=3)
    draws = [draw_protocol(ids, seed=[0, 2, number]) for number in range(3)]
    asked = [(draw, answer(embeddings, ids, Cosine(), draw)) for draw in draws]
    drawn = fnir_draws(asked, ids, 0.1)(np.ones((1, 40)))
    assert 0.02 < value(found, "fnir_at_fpir_0.1") < 0.98
    assert drawn[0] == pytest.approx(value(found, "fnir_at_fpir_0.1"))


def test_dir_curve_counts() -> None:
    rng = np.random.default_rng(3)
    mated, strangers = rng.normal(size=50), rng.normal(loc=1, size=70)
    found = rng.integers(0, 2, 50).astype(float)
    x, y = dir_curve(mated, found, strangers)
    assert np.all(np.diff(x) > 0)
    assert np.all(np.diff(y) >= 0)
    assert (x[-1], y[-1]) == (1.0, found.mean())
    for fpir, tpir in zip(x[:-1], y[:-1], strict=True):
        named = round(fpir * 70)
        limit = np.sort(strangers)[named]
        assert tpir == pytest.approx((found * (mated < limit)).mean())
