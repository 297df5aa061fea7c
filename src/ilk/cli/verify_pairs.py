"""`ilk verify-pairs ARTIFACT PAIRS`: are two pictures of one person? Over a file of pairs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.pairs import by_option, fmr_option, refuse_seen_people
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option, seed_option
from ilk.cli.unseen import detector_of, refuse_overlap
from ilk.whole_file import whole_file

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.evaluation.pairs_run import PairsRun
    from ilk.items import Items

__all__ = ["verify_pairs"]

_NUM_LISTED = 20


@click.command("verify-pairs")
@artifact_argument
@click.argument(
    "file", metavar="PAIRS", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--root",
    type=click.Path(exists=True, path_type=Path),
    help="The folder of the pictures, or a table of them. Default: where PAIRS is.",
)
@fmr_option
@click.option(
    "--strangers",
    metavar="SOURCE",
    help="People to choose the threshold on. Default: the artifact's cohort or, where that is too "
    "small, the other folds.",
)
@click.option(
    "--strangers-detector",
    metavar="NAME",
    help="The detector for the strangers, if it differs: whole_image for pictures that are already "
    "cut out. Default: --detector.",
)
@by_option
@detector_option
@choice_option("only")
@seed_option("The seed of the bootstrap.")
@click.option(
    "--batch-size",
    default=64,
    show_default=True,
    type=click.IntRange(1, 65536),
    help="Items per call of the encoder.",
)
@click.option("--allow-overlap", is_flag=True, help="Continue even though training saw some of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one row per pair to this CSV file.",
)
def verify_pairs(
    artifact: Path,
    file: Path,
    root: Path | None,
    fmr: float,
    strangers: str | None,
    strangers_detector: str | None,
    columns: tuple[str, ...],
    detector: str | None,
    choice: Choice,
    seed: int,
    batch_size: int,
    allow_overlap: bool,
    as_json: bool,
    save: Path | None,
) -> None:
    """Measure verification on a file of pairs, such as LFW's.

    ARTIFACT is a folder that `ilk train` wrote, or the name of a ready one. PAIRS has LFW's form,
    or lines "path1 path2 same", also as a table with a header. Prints the accuracy over ten folds,
    each judged by the best threshold of the others, and the accuracy at one threshold that accepts
    at most --fmr of impostors. A pair counts as an error in both if one of its pictures gives no
    probe. Intervals are clustered by person, because a person appears in many pairs.
    """
    from ilk.datasets import open_source
    from ilk.embedding import EmbeddingCache
    from ilk.evaluation import EvaluationSettings, read_pairs
    from ilk.whole_run import measure_pairs

    pairs = read_pairs(file)
    loaded = load_artifact(artifact)
    pictures = _pictures(file.parent if root is None else root)
    refuse_seen_people(loaded, pairs, pictures, allow=allow_overlap)
    others = None if strangers is None else open_source(strangers, on_unreadable="skip")
    if others is not None:  # whom training saw it tells apart better than others
        refuse_overlap(loaded, others.labels, (), allow=allow_overlap)
    with progress_bar() as progress:
        run = measure_pairs(
            loaded,
            pairs,
            pictures,
            detector_of(loaded, detector),
            choice=choice,
            target_fmr=fmr,
            strangers=others,
            strangers_detector=detector_of(loaded, strangers_detector or detector),
            by=columns,
            settings=EvaluationSettings(seed=seed),
            batch_size=batch_size,
            cache=EmbeddingCache(),
            progress=progress,
        )
    refuse_overlap(loaded, (), run.acquired.embedded.hashes, allow=allow_overlap)
    if save is not None:
        _save(save, run)
    if as_json:
        from ilk.cli.documents import print_document

        print_document("verify_pairs", **_content(run))
    else:
        _print(run)


def _pictures(root: Path) -> Items:
    """Return the pictures below a folder, or those of a table, as items."""
    from ilk.datasets import open_source
    from ilk.datasets.folder import list_pictures
    from ilk.items import Item, Items, Problem

    if not root.is_dir():
        return open_source(root, on_unreadable="skip")
    items, problems = [], []
    for path, reason in list_pictures(root):
        name = path.relative_to(root)
        if reason is None:
            items.append(Item(path, name.parent.as_posix(), name.as_posix()))
        else:
            problems.append(Problem(name.as_posix(), reason))
    return Items(tuple(items), tuple(problems), origin=str(root))


def _content(run: PairsRun) -> dict[str, Any]:
    from dataclasses import asdict

    found, limit = run.found, run.found.limit
    return {
        "threshold": {
            "value": None if limit is None else limit.value,
            "target_fmr": found.target_fmr,
            "basis": found.basis,
            "num_comparisons": None if limit is None else limit.num_comparisons,
            "num_classes": None if limit is None else limit.num_classes,
        },
        "figures": [asdict(figure) for figure in found.figures],
        "counts": found.counts,
        "groups": [table.to_json() for table in found.groups],
        "failures": [
            {"name": failure.picture.name, "code": failure.code, "reason": failure.reason}
            for failure in run.acquired.failures
        ],
        "missing": list(run.missing),
    }


def _print(run: PairsRun) -> None:
    from ilk.cli.figures_table import print_figures, print_groups
    from ilk.words import counted, percent

    found, counts = run.found, run.found.counts
    for kind in ("genuine", "impostor"):
        told = counted(counts[f"{kind}_pairs"], f"{kind} pair")
        click.echo(f"{told}, {counts[f'{kind}_compared']:,} of them compared")
    without = counts["pictures_without_probe"]
    click.echo(f"{counted(counts['pictures'], 'picture')}, {without:,} without a probe")
    if found.limit is not None:
        click.echo(
            f"threshold {found.limit.value:.4g}, so that at most {percent(found.target_fmr)} of "
            f"impostors are accepted; chosen on {found.limit.num_comparisons:,} comparisons of "
            f"{found.basis}"
        )
    else:
        click.echo(f"threshold for {percent(found.target_fmr)} of impostors: {found.basis}")
    click.echo()
    print_figures(found.figures)
    if found.groups:
        print_groups(found.groups)
    lost = [f"{f.picture.name}: {f.reason}" for f in run.acquired.failures]
    lost += [f"{name}: no picture has that name, or several have" for name in run.missing]
    for line in lost[:_NUM_LISTED]:
        click.echo(f"no probe: {line}")
    if len(lost) > _NUM_LISTED:
        click.echo(f"and {len(lost) - _NUM_LISTED:,} more; --json lists them all")


def _save(path: Path, run: PairsRun) -> None:
    """Write a row per pair, whole or not at all."""
    found, pairs = run.found, run.found.pairs
    reasons = {id(f.picture): f.code for f in run.acquired.failures}
    items = run.acquired.pictures.items
    columns = list(pairs.metadata)
    head = ["first", "second", "same", "fold", "distance", "threshold", "accepted", "right", "code"]
    all_accepted = found.is_accepted
    with (
        whole_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as out,
    ):
        writer = csv.writer(out)
        writer.writerow([*head, *columns])
        for i in range(len(pairs)):
            distance, limit = float(found.distances[i]), float(found.limits[i])
            is_there = not np.isnan(distance)
            is_same, is_accepted = bool(pairs.is_same[i]), bool(all_accepted[i])
            ends = (int(run.first[i]), int(run.second[i]))
            codes = ["missing" if at < 0 else reasons.get(id(items[at]), "") for at in ends]
            writer.writerow(
                [
                    pairs.first[i],
                    pairs.second[i],
                    int(is_same),
                    int(pairs.fold[i]),
                    repr(distance) if is_there else "",
                    "" if np.isnan(limit) else repr(limit),
                    "" if np.isnan(limit) else int(is_accepted),
                    "" if np.isnan(limit) else int(is_there and is_accepted == is_same),
                    " ".join(dict.fromkeys(filter(None, codes))),
                    *(pairs.metadata[column][i] for column in columns),
                ]
            )
