"""The whole evaluation: what it holds, that it is reproducible, and that it survives a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import DataError, InvalidInput
from ilk.evaluation import Evaluation, EvaluationSettings, Pairs, evaluate, with_pairs

DISTANCES: tuple[Distance, ...] = (Cosine(), Euclidean(), Hyperbolic(curvature=1.0, max_radius=6.0))
QUICK = EvaluationSettings(num_bootstraps=50, num_draws=2)


def items(noise: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(40), 11)
    embeddings = rng.normal(size=(40, 8))[ids] + noise * rng.normal(size=(len(ids), 8))
    return embeddings.astype(np.float32), np.array([f"class {i:02d}" for i in ids])


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: d.name)
def test_neither_memory_nor_repeating_changes_a_bit(distance: Distance) -> None:
    embeddings, labels = items()
    found = [
        evaluate(
            embeddings,
            labels,
            distance,
            EvaluationSettings(num_bootstraps=50, num_draws=2, memory_mib=mib),
        )
        for mib in (1, 1, 1024)
    ]
    texts = [json.dumps(evaluation.to_json()) for evaluation in found]
    assert texts[0] == texts[1] == texts[2]


def test_every_figure_has_its_interval_around_it() -> None:
    found = evaluate(*items(), Cosine(), EvaluationSettings(num_bootstraps=300))
    names = [figure.name for figure in found.figures]
    assert len(set(names)) == len(names)
    for expected in ("recall_at_1", "r_precision", "map_at_r", "mrr", "map_at_r_macro", "eer"):
        assert expected in names
    for figure in found.figures:
        if figure.value is None:
            assert "not enough" in figure.note or "needs" in figure.note
        else:
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low - 1e-9 <= figure.value <= figure.high + 1e-9, figure
            assert figure.num_trials > 0
            assert figure.num_classes > 0


def test_what_never_failed_is_not_said_to_be_certain() -> None:
    """Classes far apart: every draw of a bootstrap is 1."""
    found = evaluate(*items(noise=0.001), Cosine(), QUICK)
    for name, value in (("recall_at_1", 1.0), ("auroc", 1.0), ("rank_1", 1.0)):
        figure = found.figure(name)
        assert (figure.value, figure.low, figure.high) == (value, None, None)
        assert "no exception was seen, so a bootstrap gives no interval" in figure.note


def test_macro_counts_classes_alike() -> None:
    """A large easy class and nine small hard ones: micro is near 1, macro is not."""
    rng = np.random.default_rng(1)
    labels = np.array(["easy"] * 200 + [f"hard {i % 9}" for i in range(27)])
    embeddings = np.where(labels[:, None] == "easy", 50.0, rng.normal(size=(227, 4)))
    embeddings[:200] += 0.01 * rng.normal(size=(200, 4))
    found = evaluate(embeddings, labels, Euclidean(), QUICK)
    micro, macro = (found.figure(name).value for name in ("map_at_r", "map_at_r_macro"))
    assert micro is not None
    assert macro is not None
    assert micro > 0.85
    assert macro < 0.4
    per_class = [found.per_query["map_at_r"][labels == label].mean() for label in set(labels)]
    assert macro == pytest.approx(np.mean(per_class))


def test_lone_queries_are_counted_apart() -> None:
    embeddings, labels = items()
    labels[:7] = [f"lone {i}" for i in range(7)]
    found = evaluate(embeddings, labels, Cosine(), QUICK)
    figure = found.figure("recall_at_1")
    assert found.counts["lone_queries"] == 7
    assert figure.num_trials == len(labels) - 7
    assert figure.num_classes == 40
    assert figure.note == "7 items alone in a class, not counted"
    assert figure.value == pytest.approx(np.nanmean(found.per_query["recall_at_1"]))


def test_only_lone_queries_give_reasons_not_numbers() -> None:
    found = evaluate(np.eye(6), [f"lone {i}" for i in range(6)], Cosine(), QUICK)
    assert {figure.value for figure in found.figures} == {None}
    assert all(figure.note for figure in found.figures)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_one_class_alone_is_told() -> None:
    found = evaluate(np.random.default_rng(0).normal(size=(9, 3)), ["a"] * 9, Cosine(), QUICK)
    assert found.figure("recall_at_1").value == 1.0
    assert found.figure("recall_at_1").note == "one class allows no interval"
    assert found.figure("eer").value is None


def test_mistakes_are_the_worst_first_with_their_true_neighbours() -> None:
    embeddings, labels = items(noise=1.2)
    found = evaluate(embeddings, labels, Euclidean(), QUICK)
    mrr = found.per_query["mrr"]
    assert len(found.mistakes) == 24
    assert [mrr[m.query] for m in found.mistakes] == sorted(mrr)[:24]
    for mistake in found.mistakes:
        to = np.linalg.norm((embeddings - embeddings[mistake.query]).astype(float), axis=1)
        to[mistake.query] = np.inf
        assert list(mistake.neighbors) == np.argsort(to)[:6].tolist()
        np.testing.assert_allclose(mistake.distances, np.sort(to)[:6], rtol=1e-6)
        assert labels[mistake.neighbors[0]] != labels[mistake.query]


def test_progress_runs_up_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    evaluate(*items(), Cosine(), QUICK, lambda done, of: seen.append((done, of)))
    assert seen == sorted(seen)
    assert seen[-1] == (1000, 1000)


def test_a_file_keeps_everything() -> None:
    embeddings, labels = items()
    labels[3] = "lone"
    found = evaluate(
        embeddings, labels, Cosine(), QUICK, hashes=[f"hash {i}" for i in range(len(labels))]
    )
    text = json.dumps(found.to_json(), allow_nan=False)
    read = Evaluation.from_json(json.loads(text))
    assert json.dumps(read.to_json()) == text
    assert read.figures == found.figures
    assert read.mistakes == found.mistakes
    assert read.threshold == found.threshold
    for name, values in found.per_query.items():
        np.testing.assert_array_equal(values, read.per_query[name])
    for name, array in vars(found.open_set).items():
        np.testing.assert_array_equal(array, vars(read.open_set)[name])
        assert array.dtype.kind == vars(read.open_set)[name].dtype.kind


def test_other_files_are_refused_in_words() -> None:
    content = evaluate(*items(), Cosine(), QUICK).to_json()
    with pytest.raises(DataError, match="expected an evaluation"):
        Evaluation.from_json({"figures": []})
    with pytest.raises(DataError, match="expected schema version 1 of an evaluation, got 2"):
        Evaluation.from_json({**content, "schema_version": 2})
    with pytest.raises(DataError, match="incomplete or damaged"):
        Evaluation.from_json({key: value for key, value in content.items() if key != "open_set"})


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match=r"got \(2, 3\) and 1"):
        evaluate(np.zeros((2, 3)), ["a"], Cosine())
    with pytest.raises(InvalidInput, match=r"embedding 1 is not finite \(1 of 2 are not\)"):
        evaluate(np.array([[1.0], [np.nan]]), ["a", "b"], Cosine())
    with pytest.raises(InvalidInput, match="needs the group of each item"):
        evaluate(*items(), Cosine(), EvaluationSettings(exclude_same_group=True))
    with pytest.raises(InvalidInput, match="fpir_targets must lie between 0 and 1"):
        EvaluationSettings(fpir_targets=(0.0,))
    with pytest.raises(InvalidInput, match="no figure 'recall'"):
        evaluate(*items(), Cosine(), QUICK).figure("recall")


def test_pairs_add_a_figure() -> None:
    """Two pairs in each of ten folds, right but for one of which an item is missing."""
    embeddings, labels = items(noise=0.05)
    names = [f"{label}/{i}.png" for i, label in enumerate(labels)]
    first = tuple(names[11 * i] for i in range(20))
    second = tuple(names[11 * i + (1 if i % 2 else 11)] for i in range(20))
    is_same, fold = np.arange(20) % 2 == 1, np.arange(20) // 2
    found = evaluate(embeddings, labels, Euclidean(), QUICK)
    for ends, expected in ((second, 1.0), ((*second[:-1], "gone"), 0.95)):
        pairs = Pairs(first, ends, is_same, fold)
        figure = with_pairs(found, embeddings, names, Euclidean(), pairs).figure("pairs_accuracy")
        assert figure.value == pytest.approx(expected)
    elsewhere = Pairs(("x",), ("y",), is_same[:1], fold[:1])
    with pytest.raises(InvalidInput, match="none of the 1 pairs has both items"):
        with_pairs(found, embeddings, names, Euclidean(), elsewhere)
