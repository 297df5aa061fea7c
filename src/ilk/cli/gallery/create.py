"""`ilk gallery create LOCATION ARTIFACT`: make an empty gallery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.galleries import actor_option, json_option

if TYPE_CHECKING:
    from ilk.gallery import Gallery

__all__ = ["create"]


@click.command()
@click.argument("location", type=click.Path(path_type=Path))
@artifact_argument
@click.option(
    "--templates",
    default="every",
    show_default=True,
    help="What a class is matched by: every exemplar, their mean, or medoids:K of them.",
)
@click.option(
    "--target-fpir",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="The share of strangers that may get a name. Default: 0.01.",
)
@click.option(
    "--margin",
    default=0.05,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How close a second class must come to make an answer ambiguous, as a share of the "
    "threshold.",
)
@actor_option
@json_option
def create(
    location: Path,
    artifact: Path,
    templates: str,
    target_fpir: float | None,
    margin: float,
    actor: str | None,
    as_json: bool,
) -> None:
    """Make an empty gallery for an encoder artifact.

    LOCATION is a new or empty folder. ARTIFACT is a folder that `ilk train` or `ilk artifact
    import` wrote, or the name of a ready one, faces; it is copied. The gallery is calibrated on the
    artifact's cohort of held-out classes, if that is large enough for the rate.
    """
    from ilk.calibration import classes_needed, least_rate
    from ilk.errors import NotCalibrated
    from ilk.gallery import Gallery
    from ilk.words import counted

    loaded = load_artifact(artifact)
    num_classes = loaded.cohort.num_classes
    if target_fpir is not None and num_classes < classes_needed(target_fpir):
        carried = f" ({least_rate(num_classes):g} is the smallest it can)" if num_classes else ""
        raise NotCalibrated(
            f"the cohort of {artifact} has {counted(num_classes, 'class', 'classes')} of strangers "
            f"and cannot carry a rate of {target_fpir:g}, which needs "
            f"{classes_needed(target_fpir):,}{carried}; create the "
            "gallery without --target-fpir and calibrate it on strangers of yours"
        )
    made = Gallery.create(location, loaded, templates=templates, margin=margin, actor=actor)
    with made as gallery:
        if target_fpir is not None:
            gallery.calibrate(target_fpir)
        _tell(gallery, as_json=as_json)


def _tell(gallery: Gallery, *, as_json: bool) -> None:
    from ilk.calibration import classes_needed, least_rate
    from ilk.cli.documents import print_document
    from ilk.documents import threshold_facts
    from ilk.errors import NotCalibrated
    from ilk.shell import command_line
    from ilk.words import counted, percent, told_strangers

    location, cohort = gallery.access.location, gallery.binding.cohort
    num_classes = cohort.num_classes if cohort is not None else 0
    try:
        threshold, reason = gallery.threshold, ""
    except NotCalibrated as error:
        threshold, reason = None, str(error)
    if as_json:
        least = least_rate(num_classes) if num_classes else None
        facts = {"threshold": threshold_facts(threshold), "reason": reason, "least_rate": least}
        print_document("gallery.created", location=str(location), **facts)
        return
    click.echo(f"made {location}, with nothing enrolled")
    if threshold is not None:
        who = f"{told_strangers(threshold)}, of the artifact's cohort"
        share = percent(threshold.target_fpir)
        click.echo(
            f"calibrated on {who}: at most {share} of strangers get a name, however it grows"
        )
        return
    target = gallery.settings.target_fpir
    has = f"has {counted(num_classes, 'class', 'classes')}" if num_classes else "is empty"
    click.echo(
        f"It is not calibrated yet: the artifact's cohort of held-out classes {has}, and "
        f"{percent(target)}, the usual share of strangers that may get a name, needs "
        f"{counted(classes_needed(target), 'class', 'classes')} of strangers. Before the first "
        "answer choose one of:"
    )
    calibrate = command_line("ilk gallery calibrate", location)
    if num_classes:
        least = least_rate(num_classes)
        click.echo(f"  {calibrate} --target-fpir {least:g}     (the smallest the cohort can carry)")
    click.echo(f"  {calibrate} --strangers SOURCE     (things that you will not enroll)")
    click.echo(f"  {calibrate} --basis leave-one-out     (later, over the gallery's own classes)")
