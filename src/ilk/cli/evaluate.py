"""`ilk evaluate ARTIFACT SOURCE`: measure an artifact on classes that it never saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.pairs import by_option, evaluate_pairs, fmr_option, pairs_file
from ilk.cli.progress import progress_bar
from ilk.cli.sources import (
    choice_option,
    detector_option,
    on_unreadable_option,
    seed_option,
    source_argument,
)
from ilk.cli.unseen import embed_unseen, overlap_warning
from ilk.whole_file import whole_file

if TYPE_CHECKING:
    from ilk.artifact import Artifact
    from ilk.detecting import Choice
    from ilk.embedding import Embedded
    from ilk.evaluation import Evaluation, EvaluationSettings
    from ilk.evaluation.acquisition import Acquired
    from ilk.evaluation.settings import Protocol

__all__ = ["evaluate", "evaluate_embedded", "protocol_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def protocol_options(command: _Command) -> _Command:
    """Add the options that decide what is measured, shared with `ilk compare`."""
    for option in (
        detector_option,
        choice_option("only"),
        click.option(
            "--allow-overlap", is_flag=True, help="Continue even though training saw some of it."
        ),
        on_unreadable_option,
        click.option(
            "--batch-size",
            default=64,
            show_default=True,
            type=click.IntRange(1, 65536),
            help="Items per call of the encoder.",
        ),
        click.option(
            "--memory-mib",
            default=1024,
            show_default=True,
            type=click.IntRange(1, 1 << 24),
            help="Memory to use for measuring, in MiB; it never changes a figure.",
        ),
        seed_option("The seed of every random draw."),
        click.option(
            "--draws",
            default=5,
            show_default=True,
            type=click.IntRange(1, 1000),
            help="How often to draw the open-set protocol.",
        ),
        click.option(
            "--fpir",
            "rates",
            metavar="RATE",
            multiple=True,
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="The share of strangers that may get a name, such as 0.05. Repeatable. Default: "
            "the two smallest of 0.001, 0.01, 0.05 and 0.1 that the strangers can carry.",
        ),
        click.option(
            "--other-groups",
            is_flag=True,
            help="Leave out probes that share a group (a burst, a drawer) with an exemplar.",
        ),
        click.option(
            "--exemplars",
            default=5,
            show_default=True,
            type=click.IntRange(1, 1 << 20),
            help="Exemplars per enrolled class.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@artifact_argument
@source_argument
@click.option(
    "--protocol",
    type=click.Choice(["all", "retrieval", "open-set", "lfw"]),
    default="all",
    show_default=True,
    help="What to measure, as listed above.",
)
@protocol_options
@click.option(
    "--strangers-up-to",
    "up_to",
    metavar="N",
    type=click.IntRange(min=1),
    help="With --protocol open-set: strangers are classes of at most N items. Default: as "
    "--exemplars.",
)
@click.option(
    "--pairs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A pairs file (LFW's, or lines 'path1 path2 same'). Default with lfw: SOURCE/pairs.txt.",
)
@fmr_option
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save everything to this file, for `ilk compare`.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a report to this file: one self-contained HTML page.",
)
def evaluate(
    artifact: Path,
    source: str,
    protocol: Literal["all", "retrieval", "open-set", "lfw"],
    exemplars: int,
    other_groups: bool,
    rates: tuple[float, ...],
    draws: int,
    seed: int,
    memory_mib: int,
    batch_size: int,
    on_unreadable: Literal["stop", "skip"],
    allow_overlap: bool,
    detector: str | None,
    choice: Choice,
    up_to: int | None,
    pairs: Path | None,
    fmr: float,
    columns: tuple[str, ...],
    as_json: bool,
    save: Path | None,
    report: Path | None,
) -> None:
    """Measure an artifact on classes that it never saw.

    ARTIFACT is a folder that `ilk train` wrote, or the name of a ready one. SOURCE is a folder with
    a folder per class, a table or a data set by name. It is refused if training
    saw one of the classes or items.

    \b
    all        retrieval, open set with half of the classes enrolled, all pairs
    retrieval  every item asks for the others of its class
    open-set   all classes of more than --exemplars items are enrolled, and
               those of at most --strangers-up-to items are strangers
    lfw        the pairs of a pairs file: mean and standard error over ten folds

    Pictures in which nothing is found are counted (fta, fte) and listed; with lfw they are errors.
    """  # noqa: D301
    if rates and protocol in ("retrieval", "lfw"):
        raise click.UsageError("--fpir goes with --protocol all or open-set.")
    if protocol == "lfw":
        asked = pairs_file(source, pairs)
    settings = _settings(
        exemplars=exemplars,
        fpir_targets=tuple(sorted(set(rates))),
        exclude_same_group=other_groups,
        num_draws=draws,
        seed=seed,
        memory_mib=memory_mib,
        protocol="all" if protocol == "lfw" else protocol,
        up_to=up_to,
    )
    loaded = load_artifact(artifact)
    options: dict[str, Any] = {"detector": detector, "choice": choice, "batch_size": batch_size}
    if protocol == "lfw":
        found, acquired = evaluate_pairs(
            loaded,
            source,
            asked,
            fmr=fmr,
            columns=columns,
            settings=settings,
            allow=allow_overlap,
            **options,
        )
    else:
        acquired = embed_unseen(
            loaded, source, on_unreadable=on_unreadable, allow=allow_overlap, **options
        )
        found = _measured(loaded, acquired, settings, columns, pairs)
    if save is not None:
        with whole_file(save) as partial:
            partial.write_text(json.dumps(found.to_json(), allow_nan=False), encoding="utf-8")
    if report is not None:
        _write_report(report, found, loaded, acquired.embedded, source)
    if as_json:
        click.echo(json.dumps(_summary(found, acquired), indent=2, allow_nan=False))
    else:
        _print(found, acquired)


def _settings(
    *, exemplars: int, protocol: Protocol, up_to: int | None, **options: Any
) -> EvaluationSettings:
    from ilk.evaluation import EvaluationSettings

    if protocol != "open-set" and up_to is not None:
        raise click.UsageError("--strangers-up-to goes with --protocol open-set.")
    few = (up_to or exemplars) if protocol == "open-set" else None
    return EvaluationSettings(
        num_exemplars=exemplars, protocol=protocol, max_stranger_items=few, **options
    )


def _measured(
    artifact: Artifact,
    acquired: Acquired,
    settings: EvaluationSettings,
    columns: Sequence[str],
    pairs: Path | None,
) -> Evaluation:
    """Return what a protocol without pairs finds, with failures and groups."""
    from ilk.evaluation import read_pairs, with_pairs
    from ilk.evaluation.acquisition import failure_figures
    from ilk.evaluation.item_groups import item_tables

    embedded = acquired.embedded
    asked_pairs = None if pairs is None else read_pairs(pairs)
    found = evaluate_embedded(artifact, embedded, settings)
    if asked_pairs is not None:
        names = [item.name for item in embedded.items.items]
        found = with_pairs(found, embedded.embeddings, names, artifact.distance, asked_pairs)
    tables = item_tables(found, acquired, columns)
    figures = (*found.figures, *failure_figures(acquired))
    return replace(found, figures=figures, groups=tables)


def evaluate_embedded(
    artifact: Artifact, embedded: Embedded, settings: EvaluationSettings
) -> Evaluation:
    """Return the evaluation of embedded items under the artifact's distance, with a bar."""
    from ilk.whole_run import measure

    with progress_bar() as progress:
        return measure(
            artifact, embedded, settings, lambda done, of: progress("Measuring", done, of)
        )


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
            warning=overlap_warning(seen) if seen else "",
            progress=progress,
        )


def _summary(found: Evaluation, acquired: Acquired) -> dict[str, object]:
    """Return the JSON without what is as long as the items."""
    content = found.to_json()
    kept = ("schema_version", "figures", "counts", "settings", "threshold", "groups")
    problems = [{"name": p.name, "reason": p.reason} for p in acquired.embedded.items.problems]
    return {
        "schema": "ilk.evaluation.summary",
        **{key: content[key] for key in kept},
        "failures": acquired.codes,
        "problems": problems,
    }


def _print(found: Evaluation, acquired: Acquired) -> None:
    from ilk.cli.figures_table import print_figures, print_groups

    print_figures(found.figures)
    click.echo(", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in found.counts.items()))
    if found.groups:
        print_groups(found.groups)
    for problem in acquired.embedded.items.problems:
        click.echo(f"skipped: {problem.name}: {problem.reason}")
