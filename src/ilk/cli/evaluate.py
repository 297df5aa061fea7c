"""`ilk evaluate ARTIFACT SOURCE`: measure an artifact on classes that it never saw."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ilk.cli.progress import progress_bar
from ilk.cli.sources import on_unreadable_option, source_argument

if TYPE_CHECKING:
    from ilk.artifact import Artifact, Overlap
    from ilk.embedding import Embedded
    from ilk.evaluation import Evaluation, EvaluationSettings, Figure

__all__ = ["embed_unseen", "evaluate", "evaluate_embedded", "protocol_options"]

_NUM_NAMED = 5
_Command = TypeVar("_Command", bound=Callable[..., Any])


def protocol_options(command: _Command) -> _Command:
    """Add the options that decide what is measured, shared with `ilk compare`."""
    for option in (
        click.option("--allow-overlap", is_flag=True, help="Go on though training saw some of it."),
        on_unreadable_option,
        click.option("--batch-size", default=64, show_default=True, help="Items per encoder call."),
        click.option(
            "--memory-mib",
            default=1024,
            show_default=True,
            help="Memory that measuring may take; never changes a figure.",
        ),
        click.option("--seed", default=0, show_default=True, help="Decides every draw."),
        click.option(
            "--draws", default=5, show_default=True, help="Draws of the open-set protocol."
        ),
        click.option(
            "--other-groups",
            is_flag=True,
            help="Leave out probes that share a group (a burst, a drawer) with an exemplar.",
        ),
        click.option(
            "--exemplars", default=5, show_default=True, help="Exemplars per enrolled class."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@source_argument
@protocol_options
@click.option(
    "--pairs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A pairs file (LFW's, or lines 'path1 path2 same'): adds the ten-fold accuracy.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="For `ilk compare`.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one self-contained HTML page.",
)
def evaluate(
    artifact: Path,
    source: str,
    exemplars: int,
    other_groups: bool,
    draws: int,
    seed: int,
    memory_mib: int,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow_overlap: bool,
    pairs: Path | None,
    as_json: bool,
    save: Path | None,
    report: Path | None,
) -> None:
    """Measure an artifact on classes that it never saw.

    ARTIFACT is a folder that `ilk train` wrote. SOURCE is a folder with a folder per class, a table
    or a data set by name. Refuses if training saw one of the classes or items.
    """
    from ilk.artifact import Artifact
    from ilk.evaluation import EvaluationSettings, read_pairs, with_pairs

    settings = EvaluationSettings(
        num_exemplars=exemplars,
        exclude_same_group=other_groups,
        num_draws=draws,
        seed=seed,
        memory_mib=memory_mib,
    )
    asked_pairs = None if pairs is None else read_pairs(pairs)
    loaded = Artifact.load(artifact)
    embedded = embed_unseen(
        loaded, source, batch_size=batch_size, on_unreadable=on_unreadable, allow=allow_overlap
    )
    found = evaluate_embedded(loaded, embedded, settings)
    if asked_pairs is not None:
        names = [item.name for item in embedded.items.items]
        found = with_pairs(found, embedded.embeddings, names, loaded.distance, asked_pairs)
    if save is not None:
        write_json(save, found.to_json())
    if report is not None:
        _write_report(report, found, loaded, embedded, source)
    if as_json:
        click.echo(json.dumps(_summary(found, embedded), indent=2, allow_nan=False))
    else:
        _print(found, embedded)


def embed_unseen(
    artifact: Artifact,
    source: str,
    *,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow: bool,
) -> Embedded:
    """Return the embeddings of a source, after making sure that training saw none of it.

    Raises:
        ClassOverlap: It did, and `allow` is False. Labels are compared before anything is embedded.
        DataError: The source has no items.
    """
    from ilk.artifact import find_overlap
    from ilk.datasets import open_source
    from ilk.embedding import embed_items
    from ilk.encoders.onnx import open_encoder
    from ilk.errors import DataError

    items = open_source(source, on_unreadable=on_unreadable)
    if not len(items):
        raise DataError(f"{source}: expected labelled items, found none")
    if not allow:
        _refuse(find_overlap(artifact.manifest, items.labels, ()).classes, 0)
    with progress_bar() as progress:
        embedded = embed_items(
            open_encoder(artifact),
            items,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            progress=lambda done, of: progress("Embedding", done, of),
        )
    overlap = find_overlap(artifact.manifest, embedded.items.labels, embedded.hashes)
    if overlap and not allow:
        _refuse(overlap.classes, len(overlap.items))
    if overlap:
        click.secho(f"WARNING: {_warning(overlap)}", err=True, fg="red", bold=True)
    return embedded


def evaluate_embedded(
    artifact: Artifact, embedded: Embedded, settings: EvaluationSettings
) -> Evaluation:
    """Return the evaluation of embedded items under the artifact's distance, with a bar."""
    from ilk.whole_run import measure

    with progress_bar() as progress:
        return measure(
            artifact, embedded, settings, lambda done, of: progress("Measuring", done, of)
        )


def write_json(path: Path, content: object) -> None:
    """Write JSON whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    part.replace(path)


def _refuse(classes: tuple[str, ...], num_items: int) -> None:
    from ilk.errors import ClassOverlap

    if classes or num_items:
        raise ClassOverlap(
            f"expected classes that training never saw, but it saw {_told(classes, num_items)}; "
            "evaluate on other classes, or pass --allow-overlap to go on all the same"
        )


def _warning(overlap: Overlap) -> str:
    return (
        f"training saw {_told(overlap.classes, len(overlap.items))}. These figures are NOT about "
        "unseen classes; do not report them as such."
    )


def _told(classes: tuple[str, ...], num_items: int) -> str:
    named = ", ".join(repr(label) for label in classes[:_NUM_NAMED])
    more = f" and {len(classes) - _NUM_NAMED:,} more" if len(classes) > _NUM_NAMED else ""
    parts = [f"{len(classes):,} of these classes ({named}{more})"] if classes else []
    parts += [f"{num_items:,} of these items"] if num_items else []
    return " and ".join(parts)


def _write_report(
    path: Path, found: Evaluation, artifact: Artifact, embedded: Embedded, source: str
) -> None:
    from ilk.artifact import find_overlap
    from ilk.whole_run import write_page

    seen = find_overlap(artifact.manifest, embedded.items.labels, embedded.hashes)
    with progress_bar() as progress:
        write_page(
            path,
            found,
            artifact,
            embedded,
            title=f"{artifact.path.name} on {source}",
            warning=_warning(seen) if seen else "",
            progress=progress,
        )


def _summary(found: Evaluation, embedded: Embedded) -> dict[str, object]:
    """Return the JSON without what is as long as the items."""
    content = found.to_json()
    kept = ("schema_version", "figures", "counts", "settings", "threshold")
    problems = [{"name": p.name, "reason": p.reason} for p in embedded.items.problems]
    return {
        "schema": "ilk.evaluation.summary",
        **{key: content[key] for key in kept},
        "problems": problems,
    }


def _print(found: Evaluation, embedded: Embedded) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("figure", no_wrap=True)
    for title in ("value", "95 % interval", "trials", "classes", "note"):
        table.add_column(title, justify="right", no_wrap=True)
    notes: dict[str, str] = {}
    for figure in found.figures:
        number = notes.setdefault(figure.note, str(len(notes) + 1)) if figure.note else ""
        table.add_row(*_row(figure), number)
    console.print(table, markup=False)
    console.print()
    for note, number in notes.items():
        console.print(f"{number}: {note}", markup=False)
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in found.counts.items())
    console.print(told, markup=False)
    for problem in embedded.items.problems:
        console.print(f"left out: {problem.name}: {problem.reason}", markup=False)


def _row(figure: Figure) -> tuple[str, ...]:
    value = "-" if figure.value is None else f"{figure.value:.4f}"
    interval = "" if figure.low is None else f"{figure.low:.4f} to {figure.high:.4f}"
    return figure.name, value, interval, f"{figure.num_trials:,}", f"{figure.num_classes:,}"
