"""From items to an evaluated artifact and its page, for whole runs and `ilk evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from ilk.artifact import Artifact, class_hash
from ilk.check import check_items
from ilk.config import Run
from ilk.detecting import Choice
from ilk.detector import Detector
from ilk.embedding import Embedded, EmbeddingCache, embed_items
from ilk.encoders.onnx import open_encoder
from ilk.errors import NotEnoughTrials
from ilk.evaluation import Evaluation, EvaluationSettings, Pairs, evaluate
from ilk.evaluation.acquisition import acquire
from ilk.evaluation.impostor_limit import ImpostorLimit, limit_from_strangers
from ilk.evaluation.pairs_run import (
    PairsRun,
    acquire_pairs,
    people_of,
    run_pairs,
    strangers_limit,
)
from ilk.evaluation.report import write_report
from ilk.items import Items
from ilk.words import counted

__all__ = ["Outcome", "measure", "measure_pairs", "train_and_measure", "write_page"]


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """An artifact and what it does on classes that it never saw."""

    artifact: Artifact
    embedded: Embedded
    evaluation: Evaluation
    page: Path


def train_and_measure(
    run: Run,
    training: Items,
    unseen: Items,
    output: Path,
    settings: EvaluationSettings,
    *,
    title: str,
    tell: Callable[[str], None],
    show_bar: bool,
) -> Outcome:
    """Train on some items, measure on others, and write artifact, figures and page to `output`.

    Raises:
        IlkError: Whatever training or evaluation refuses.
        OSError: The output cannot be written.
    """
    from ilk.training import fit

    folder = fit(
        run,
        items=training,
        output=output / "encoder.ilk",
        overwrite=True,
        tell=tell,
        show_bar=show_bar,
    )
    artifact = Artifact.load(folder)
    embedded = embed_items(open_encoder(artifact), unseen, batch_size=256)
    evaluation = measure(artifact, embedded, settings)
    (output / "evaluation.json").write_text(json.dumps(evaluation.to_json(), allow_nan=False))
    page = output / "report.html"
    write_page(page, evaluation, artifact, embedded, title=title)
    return Outcome(artifact, embedded, evaluation, page)


def measure(
    artifact: Artifact,
    embedded: Embedded,
    settings: EvaluationSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return the evaluation of embedded items under the artifact's distance."""
    found = evaluate(
        embedded.embeddings,
        embedded.items.labels,
        artifact.distance,
        replace(settings, fingerprint=artifact.fingerprint),
        progress,
        groups=[item.group for item in embedded.items.items],
        hashes=embedded.hashes,
    )
    return replace(found, settings={**found.settings, "artifact": artifact.fingerprint})


def measure_pairs(
    artifact: Artifact,
    pairs: Pairs,
    pictures: Items,
    detector: Detector,
    *,
    choice: Choice = "only",
    target_fmr: float = 0.001,
    strangers: Items | None = None,
    strangers_detector: Detector | None = None,
    by: Sequence[str] = (),
    settings: EvaluationSettings | None = None,
    batch_size: int = 64,
    cache: EmbeddingCache | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> PairsRun:
    """Return what a pairs file finds of an artifact.

    Its limit for the target FMR is chosen on all impostor comparisons among the strangers, without
    them among the artifact's cohort, and where that is too small on the other folds of the pairs.

    Args:
        artifact: What is measured.
        pairs: What is asked.
        pictures: Where the pairs find their pictures, by name.
        detector: What finds the region that counts.
        choice: Of several regions in a picture: none ("only") or the largest.
        target_fmr: The share of impostor comparisons that may be accepted.
        strangers: People, with their labels.
        strangers_detector: What finds them; None is `detector`.
        by: Columns to tell groups of pairs apart by.
        settings: Its FMR targets, seed and number of bootstraps are used.
        batch_size: Pictures per call of the encoder.
        cache: Looked up before embedding, and added to.
        progress: Called with a stage, the pictures done and in all.

    Raises:
        NotEnoughTrials: The strangers are too few for the rate.
        DataError: No pair has both of its pictures.
        InvalidInput: A column is not there, or the target is no rate.
    """
    encoder = open_encoder(artifact)
    acquired, first, second = acquire_pairs(
        pairs,
        pictures,
        encoder,
        detector,
        choice=choice,
        batch_size=batch_size,
        cache=cache,
        progress=progress,
    )
    if strangers is None:
        limit = _limit_from_cohort(artifact, people_of(pairs, acquired), target_fmr)
    else:
        others = acquire(
            encoder,
            strangers_detector or detector,
            strangers,
            choice=choice,
            batch_size=batch_size,
            cache=cache,
            progress=None if progress is None else _of_strangers(progress),
        )
        limit = strangers_limit(others, acquired, artifact.distance, pairs, target_fmr)
    return run_pairs(
        pairs,
        acquired,
        (first, second),
        artifact.distance,
        target_fmr=target_fmr,
        limit=limit,
        by=by,
        settings=settings,
    )


def write_page(
    path: Path,
    evaluation: Evaluation,
    artifact: Artifact,
    embedded: Embedded,
    *,
    title: str,
    warning: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write the page of an evaluation, with the data check and the artifact's card."""
    write_report(
        path,
        evaluation,
        items=embedded.items,
        embeddings=embedded.embeddings,
        distance=artifact.distance,
        card=artifact.read("CARD.md").decode(),
        check=check_items(embedded.items, progress=progress),
        title=title,
        warning=warning,
    )


def _limit_from_cohort(artifact: Artifact, people: set[str], fmr: float) -> ImpostorLimit | None:
    """Return the limit from the artifact's cohort without the people of the pairs.

    None if what is left is too small for the rate.
    """
    known = set(map(class_hash, people))
    hashes = artifact.cohort.class_hashes
    is_known = np.array([content in known for content in hashes], bool)
    ids = artifact.cohort.class_ids
    is_used = ~is_known[ids] if len(ids) else np.zeros(0, bool)
    num_classes = len(np.unique(ids[is_used]))
    basis = f"{counted(num_classes, 'class', 'classes')} of the artifact's cohort"
    try:
        return limit_from_strangers(
            artifact.cohort.embeddings[is_used], ids[is_used], artifact.distance, fmr, basis
        )
    except NotEnoughTrials:
        return None


def _of_strangers(
    progress: Callable[[str, int, int], None],
) -> Callable[[str, int, int], None]:
    return lambda stage, done, of: progress(f"{stage} strangers", done, of)
