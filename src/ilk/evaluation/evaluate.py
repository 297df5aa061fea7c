"""From embeddings and labels to an `Evaluation`: retrieval, open set and verification at once.

Shapes: N items, D embedding size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ilk.distances import Distance
from ilk.doors import door
from ilk.errors import InvalidInput
from ilk.evaluation.figures import Evaluation, Figure, Mistake
from ilk.evaluation.intervals import ClassBootstrap, without_empty_interval
from ilk.evaluation.mistakes import find_mistakes
from ilk.evaluation.open_set import OpenSet, open_set
from ilk.evaluation.pairs import Pairs, fold_accuracy
from ilk.evaluation.retrieval import retrieval
from ilk.evaluation.settings import EvaluationSettings
from ilk.evaluation.verification import compare_all
from ilk.evaluation.verification_figures import verification_figures
from ilk.words import counted

__all__ = ["evaluate", "with_pairs"]

Progress = Callable[[int, int], None]


@door
def evaluate(
    embeddings: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    distance: Distance,
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
    *,
    groups: Sequence[str | None] | None = None,
    hashes: Sequence[str] = (),
) -> Evaluation:
    """Measure embeddings of classes that the encoder never saw.

    Args:
        embeddings: (N, D), finite.
        labels: (N,) names of classes.
        distance: What closeness means: the one that the gallery will use.
        settings: What to measure; the defaults if not given.
        progress: Called with steps done and in all.
        groups: The group of each item, needed if the settings exclude probes of the same group.
        hashes: Content hash of each item, by which two evaluations are paired.

    Returns:
        Every figure with its 95 % interval from a bootstrap by class. Figures that the data cannot
        carry are None and say why.

    Raises:
        InvalidInput: Lengths differ, there are no items, or an embedding is not finite.

    Example:
        >>> from ilk.distances import Euclidean
        >>> rng = np.random.default_rng(0)
        >>> labels = np.repeat([f"class {i}" for i in range(20)], 8)
        >>> centres = np.repeat(rng.normal(size=(20, 16)), 8, axis=0)
        >>> found = evaluate(centres + 0.1 * rng.normal(size=(160, 16)), labels, Euclidean())
        >>> found.figure("recall_at_1").value, found.figure("eer").value
        (1.0, 0.0)
        >>> found.figure("fnir_at_fpir_0.17").value  # five classes carry no smaller rate
        0.0
    """
    settings = settings or EvaluationSettings()
    names = [str(label) for label in labels]
    embeddings = _checked(embeddings, len(names), groups, hashes, settings)
    classes = tuple(sorted(set(names)))
    position = {label: i for i, label in enumerate(classes)}
    class_ids = np.array([position[name] for name in names], np.int64)
    bootstrap = ClassBootstrap(len(classes), num_draws=settings.num_bootstraps, seed=settings.seed)
    steps = _Steps(progress)
    per_query, mistakes = (
        _ranked(embeddings, class_ids, distance, settings, steps.part(0))
        if settings.protocol != "open-set"
        else ({}, ())
    )
    found = OpenSet(())
    if settings.protocol != "retrieval":
        found = open_set(
            embeddings,
            class_ids,
            distance,
            settings,
            bootstrap,
            groups=groups,
            progress=steps.part(1),
        )
    compared = _compared(embeddings, class_ids, distance, settings, bootstrap)
    steps.part(2)(1, 1)
    num_lone = int(np.isnan(per_query["mrr"]).sum()) if per_query else 0
    return Evaluation(
        figures=tuple(
            without_empty_interval(figure)
            for figure in (
                *_retrieval_figures(per_query, class_ids, bootstrap, num_lone),
                *found.figures,
                *compared.figures,
            )
        ),
        curves={**found.curves, **compared.curves},
        genuine=compared.genuine,
        impostor=compared.impostor,
        per_query={**per_query, **found.per_query},
        strangers=found.strangers,
        mistakes=mistakes,
        threshold=found.threshold,
        open_set=found.trial,
        counts={
            "items": len(names),
            "classes": len(classes),
            **({"lone_queries": num_lone} if per_query else {}),
            **found.counts,
            **compared.counts,
        },
        settings={
            **settings.comparable,
            "fpir_targets": list(found.fpir_targets or settings.fpir_targets),
            "distance": distance.settings,
        },
        classes=classes,
        class_ids=class_ids,
        hashes=tuple(hashes),
    )


def _ranked(
    embeddings: np.ndarray,
    class_ids: np.ndarray,
    distance: Distance,
    settings: EvaluationSettings,
    progress: Progress,
) -> tuple[dict[str, np.ndarray], tuple[Mistake, ...]]:
    """Return the retrieval figures of every item, and the worst queries."""
    memory_bytes = settings.memory_mib << 20
    per_query = retrieval(
        embeddings,
        class_ids,
        distance,
        recall_at=sorted({1, *settings.recall_at}),
        memory_bytes=memory_bytes,
        progress=progress,
    )
    mistakes = find_mistakes(
        embeddings,
        per_query["mrr"],
        distance,
        num_mistakes=settings.num_mistakes,
        num_neighbors=settings.num_neighbors,
        memory_bytes=memory_bytes,
    )
    return per_query, mistakes


def _compared(
    embeddings: np.ndarray,
    class_ids: np.ndarray,
    distance: Distance,
    settings: EvaluationSettings,
    bootstrap: ClassBootstrap,
) -> Evaluation:
    """Return what comparing all pairs shows; nothing where the protocol does not ask for it."""
    if settings.protocol != "all":
        return Evaluation(figures=())
    comparisons = compare_all(
        embeddings,
        class_ids,
        distance,
        max_comparisons=settings.max_comparisons,
        seed=settings.seed,
    )
    figures, curves = verification_figures(comparisons, settings, bootstrap)
    return Evaluation(
        figures=tuple(figures),
        curves=curves,
        genuine=_sample(comparisons.genuine, settings),
        impostor=_sample(comparisons.impostor, settings),
        counts={
            "genuine_comparisons": len(comparisons.genuine),
            "impostor_comparisons": len(comparisons.impostor),
        },
    )


def with_pairs(
    evaluation: Evaluation,
    embeddings: np.ndarray,
    names: Sequence[str],
    distance: Distance,
    pairs: Pairs,
) -> Evaluation:
    """Return the evaluation with the figure "pairs_accuracy" of a pairs file added.

    Args:
        evaluation: Of the same items.
        embeddings: (N, D).
        names: Of each item, as `Item.name`, by which the pairs find it.
        distance: What closeness means.
        pairs: As `read_pairs` gives them.

    Raises:
        InvalidInput: Not one pair has both items.
    """
    first, second = pairs.positions(names)
    is_there = (first >= 0) & (second >= 0)
    if not is_there.any():
        raise InvalidInput(
            f"none of the {len(first)} pairs has both items in the source; the pairs file names "
            f"{pairs.first[0]!r}, the source {names[0] if names else 'nothing'!r}"
        )
    distances = np.full(len(first), np.nan)
    distances[is_there] = distance.paired(
        embeddings[first[is_there]].astype(np.float64),
        embeddings[second[is_there]].astype(np.float64),
    )
    figure = fold_accuracy(distances, pairs.is_same, pairs.fold)
    return replace(evaluation, figures=(*evaluation.figures, figure))


class _Steps:
    """Maps the progress of the parts to one count of thousandths."""

    _ENDS = (0, 600, 950, 1000)

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def part(self, number: int) -> Progress:
        start, end = self._ENDS[number], self._ENDS[number + 1]

        def report(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(start + (end - start) * done // max(1, total), self._ENDS[-1])

        return report


def _checked(
    embeddings: np.ndarray,
    num_labels: int,
    groups: Sequence[str | None] | None,
    hashes: Sequence[str],
    settings: EvaluationSettings,
) -> np.ndarray:
    if embeddings.ndim != 2 or len(embeddings) != num_labels or not num_labels:
        raise InvalidInput(
            f"expected (N, D) embeddings and N labels, at least one, got {embeddings.shape} and "
            f"{num_labels}"
        )
    for name, given in (("groups", groups), ("hashes", hashes)):
        if given and len(given) != num_labels:
            raise InvalidInput(f"expected one of {name} per item, got {len(given)}")
    if settings.exclude_same_group and groups is None:
        raise InvalidInput("exclude_same_group needs the group of each item; pass groups")
    is_finite = np.isfinite(embeddings).all(axis=1)
    if not is_finite.all():
        raise InvalidInput(
            f"embedding {int(np.argmin(is_finite))} is not finite ({int((~is_finite).sum())} of "
            f"{num_labels} are not); the encoder is broken or its input was"
        )
    return (
        embeddings if embeddings.dtype == np.float64 else embeddings.astype(np.float32, copy=False)
    )


def _retrieval_figures(
    per_query: dict[str, np.ndarray],
    class_ids: np.ndarray,
    bootstrap: ClassBootstrap,
    num_lone: int,
) -> list[Figure]:
    note = f"{counted(num_lone, 'item')} alone in a class, not counted" if num_lone else ""
    micro = [bootstrap.mean(name, v, class_ids, note=note) for name, v in per_query.items()]
    macro = [
        bootstrap.mean(f"{name}_macro", values, class_ids, is_macro=True, note=note)
        for name, values in per_query.items()
    ]
    return micro + macro


def _sample(distances: np.ndarray, settings: EvaluationSettings) -> np.ndarray:
    """Return at most `num_samples` of sorted distances, evenly over their order."""
    if len(distances) <= settings.num_samples:
        return distances
    places = np.linspace(0, len(distances) - 1, settings.num_samples).astype(np.int64)
    return distances[places]
