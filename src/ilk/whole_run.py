"""From items to an evaluated artifact and its page, for whole runs and `ilk evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from ilk.artifact import Artifact
from ilk.check import check_items
from ilk.config import Run
from ilk.embedding import Embedded, embed_items
from ilk.encoders.onnx import open_encoder
from ilk.evaluation import Evaluation, EvaluationSettings, evaluate
from ilk.evaluation.report import write_report
from ilk.items import Items

__all__ = ["Outcome", "measure", "train_and_measure", "write_page"]


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
