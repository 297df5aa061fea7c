"""`ilk gallery migrate` and `rollback`: to another encoder, and back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.galleries import actor_option, gallery_argument, json_option, threads_option
from ilk.cli.progress import progress_bar

if TYPE_CHECKING:
    from ilk.gallery import Gallery
    from ilk.gallery.migration import ComparedProbes
    from ilk.gallery.migration_report import MigrationReport
    from ilk.gallery.reembedding import Embed

__all__ = ["migrate", "rollback"]

_NUM_NAMED = 10


@click.command()
@gallery_argument
@artifact_argument
@click.option(
    "--sources",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder with the files of exemplars and strangers, or with what was cut out of them; "
    "they are found by content, at any depth. Default: only kept crops.",
)
@click.option(
    "--probes",
    "probe_files",
    multiple=True,
    metavar="FILE",
    help="Pictures to compare the answers of both encoders on. Repeatable.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Continue, and leave behind what cannot be embedded again.",
)
@click.option("--dry-run", is_flag=True, help="Report, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before the switch.")
@threads_option
@actor_option
@json_option
def migrate(
    gallery: Path,
    artifact: Path,
    sources: Path | None,
    probe_files: tuple[str, ...],
    allow_missing: bool,
    dry_run: bool,
    yes: bool,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Move a gallery to another encoder.

    Exemplars are embedded again with the encoder of ARTIFACT, from their files or kept crops, while
    the gallery keeps answering. A report then says what would change, and the switch is one step.
    Ids, labels, history and undo stay; `ilk gallery rollback` goes back.
    """
    from ilk.bound_encoder import embed_contents
    from ilk.detecting import open_detector
    from ilk.encoders.onnx import open_encoder
    from ilk.gallery import Gallery
    from ilk.gallery.migration import migrate as move

    loaded = load_artifact(artifact)
    encoder = open_encoder(loaded, num_threads=num_threads)
    finder = open_detector(loaded.detector)

    def confirm(report: MigrationReport) -> bool:
        if not as_json:
            _print(report)
        return yes or click.confirm("Switch to the new encoder?", err=True)

    with Gallery.open(gallery, actor=actor) as opened:
        present = opened.binding.artifact
        detector = open_detector(present.detector if present is not None else None)
        embed = partial(embed_contents, encoder, detector=finder, is_cut=not detector.is_whole)
        probes = _probes(opened, embed, probe_files) if probe_files else None
        with progress_bar() as progress:
            report = move(
                opened.access,
                loaded,
                embed,
                sources=sources,
                detector=detector,
                probes=probes,
                allow_missing=allow_missing,
                switch=not dry_run,
                confirm=confirm,
                progress=lambda done, of: progress("Embedding", done, of),
            )
    _tell(report, gallery, is_dry=dry_run, as_json=as_json)


def _probes(gallery: Gallery, embed: Embed, files: tuple[str, ...]) -> ComparedProbes | None:
    """Embed probes by both encoders; what one of them cannot embed is left out.

    What the present detector finds is what is asked about; the new one looks in the same places.
    """
    from dataclasses import replace

    import numpy as np

    from ilk.datasets.files import open_files
    from ilk.detecting import sight
    from ilk.embedding import embed_items
    from ilk.gallery.migration import ComparedProbes
    from ilk.items import Items
    from ilk.recognizer import Recognizer

    items, recognizer = open_files(files).items, Recognizer.of(gallery)
    asked, places = list(items), list(items)
    if not recognizer.detector.is_whole:
        found = [s for sightings in sight(recognizer.detector, items) for s in sightings]
        pairs = [(s.crop, s.picture, s.region) for s in found if s.crop and s.region]
        asked = [crop for crop, _, _ in pairs]
        places = [replace(picture, box=region.box) for _, picture, region in pairs]
    before = embed_items(recognizer.encoder, Items(tuple(asked)), on_unreadable="skip")
    rows = dict(zip(map(id, before.items.items), before.embeddings, strict=True))
    kept = [
        (item.name, rows[id(item)], after)
        for item, after in zip(asked, embed(places), strict=True)
        if id(item) in rows and isinstance(after, np.ndarray)
    ]
    if not kept:
        return None
    names, old, new = zip(*kept, strict=True)
    return ComparedProbes(names, np.stack(old), np.stack(new))


def _tell(report: MigrationReport, gallery: Path, *, is_dry: bool, as_json: bool) -> None:
    from ilk.cli.documents import print_document
    from ilk.shell import command_line

    if as_json:
        print_document("gallery.migration", **_facts(report))
        return
    if report.generation_after == report.generation_before:
        click.echo(f"{report.notes[0]}; nothing was changed")
        return
    if is_dry:
        _print(report)
    if report.is_switched:
        back = command_line("ilk gallery rollback", gallery)
        click.echo(f"\nswitched; go back with `{back}`")
    else:
        click.echo("\nnothing was changed")


def _facts(report: MigrationReport) -> dict[str, Any]:
    from dataclasses import asdict

    from ilk.documents import threshold_facts

    return {
        "encoder_before": report.encoder_before,
        "encoder_after": report.encoder_after,
        "generation_before": report.generation_before,
        "generation_after": report.generation_after,
        "num_classes": report.num_classes,
        "num_from_sources": report.num_from_sources,
        "num_from_crops": report.num_from_crops,
        "num_strangers": report.num_strangers,
        "lost": [asdict(lost) for lost in report.lost],
        "threshold_before": threshold_facts(report.threshold_before),
        "threshold_after": threshold_facts(report.threshold_after),
        "not_calibrated": report.not_calibrated,
        "notes": list(report.notes),
        "decisions": [asdict(pair) | {"is_changed": pair.is_changed} for pair in report.decisions],
        "is_switched": report.is_switched,
    }


def _print(report: MigrationReport) -> None:
    from ilk.cli.words import print_facts
    from ilk.words import counted, told_threshold

    before, after = report.threshold_before, report.threshold_after
    num_again = report.num_from_sources + report.num_from_crops
    of = counted(report.num_classes, "class", "classes")
    print_facts(
        [
            ("encoder", f"{report.encoder_before[:12]} to {report.encoder_after[:12]}"),
            (
                "embedded again",
                f"{counted(num_again, 'exemplar')} of {of}: "
                f"{report.num_from_sources:,} from files, {report.num_from_crops:,} from crops",
            ),
            ("lost", _told_lost(report)),
            ("threshold before", told_threshold(before) if before is not None else "none"),
            (
                "threshold after",
                told_threshold(after) if after is not None else f"none: {report.not_calibrated}",
            ),
        ]
    )
    for note in report.notes:
        click.echo(f"note: {note}")
    for lost in report.lost[:_NUM_NAMED]:
        click.echo(f"lost: {lost.told}: {lost.reason}")
    if len(report.lost) > _NUM_NAMED:
        click.echo(f"lost: and {len(report.lost) - _NUM_NAMED:,} more (--json has all)")
    if report.decisions:
        told = f"{len(report.changed):,} of {counted(len(report.decisions), 'probe')}"
        click.echo(f"answered differently: {told}")
    for pair in report.changed[:_NUM_NAMED]:
        click.echo(f"  {pair.name}: {pair.before} before, {pair.after} after")


def _told_lost(report: MigrationReport) -> str:
    from ilk.words import counted

    words = {"exemplar": "exemplar", "stranger": "stranger", "unknown": "unknown probe"}
    numbers = {word: len(report.lost_of(table)) for table, word in words.items()}
    return ", ".join(counted(num, word) for word, num in numbers.items() if num) or "nothing"


@click.command()
@gallery_argument
@click.option("--discard", is_flag=True, help="Give up all changes since the migration.")
@json_option
def rollback(gallery: Path, discard: bool, as_json: bool) -> None:
    """Go back to the encoder before the last migration.

    What was erased since then stays erased. All other changes since then would be lost, so this is
    refused without --discard.
    """
    from ilk.cli.documents import print_document
    from ilk.gallery.migration import rollback as go_back

    number = go_back(gallery, discard=discard)
    if as_json:
        print_document("gallery.rollback", generation=number)
    else:
        click.echo(f"generation {number} is in use again")
