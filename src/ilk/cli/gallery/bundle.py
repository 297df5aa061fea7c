"""`ilk gallery export` and `import`: a whole gallery as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import actor_option, gallery_argument, json_option

if TYPE_CHECKING:
    from ilk.results import Enrollment

__all__ = ["export", "import_bundle"]


@click.command()
@gallery_argument
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-artifact", is_flag=True, help="Include the encoder.")
@click.option(
    "--with-history", is_flag=True, help="Include the history, and all that undo could bring back."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
def export(
    gallery: Path,
    file: Path,
    with_artifact: bool,
    with_history: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a whole gallery to one file.

    It holds classes, exemplars, crops, strangers, kept unknown probes, settings, the model
    contract, the threshold and what it was calibrated on, and what was erased, as hashes that keep
    it out; every part is hashed, and nothing in it is ever executed.
    """
    from ilk.cli.documents import print_document
    from ilk.gallery import Gallery
    from ilk.gallery.bundle import export as write

    with Gallery.open(gallery) as opened:
        write(
            opened.access,
            file,
            with_artifact=with_artifact,
            with_history=with_history,
            overwrite=overwrite,
        )
    size = file.stat().st_size
    if as_json:
        print_document("gallery.exported", file=str(file), num_bytes=size)
    else:
        click.echo(f"wrote {file}, {size:,} bytes")


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("gallery", metavar="GALLERY", type=click.Path(path_type=Path))
@click.option(
    "--artifact",
    type=click.Path(path_type=Path),
    help="The artifact of the encoder, if FILE does not include it. Any other encoder is refused.",
)
@click.option("--add", is_flag=True, help="Enroll the exemplars of FILE in an existing GALLERY.")
@actor_option
@json_option
def import_bundle(
    file: Path,
    gallery: Path,
    artifact: Path | None,
    add: bool,
    actor: str | None,
    as_json: bool,
) -> None:
    """Make a gallery from an exported file.

    FILE is one that `ilk gallery export` wrote; the new GALLERY decides as the exported one did,
    and if FILE has the history, undo goes on where it was. A file of another encoder is refused,
    and so is one that was damaged or changed. --add takes exemplars alone: no settings, strangers,
    unknown probes or history.
    """
    from ilk.cli.documents import print_document
    from ilk.documents import enrollment
    from ilk.gallery import Gallery
    from ilk.gallery.bundle import enroll_bundle
    from ilk.gallery.bundle import import_bundle as make
    from ilk.words import counted

    if add and artifact is not None:
        raise click.UsageError("--add uses the gallery's own artifact; leave out --artifact.")
    num_unknowns = 0
    if add:
        with Gallery.open(gallery, actor=actor) as opened:
            answers: list[Enrollment] = enroll_bundle(opened.access, file)
    else:
        answers = make(file, gallery, artifact, actor=actor)
        with Gallery.open(gallery, actor=actor) as opened:
            num_unknowns = len(opened.unknowns())
    if as_json:
        print_document("gallery.imported", answers=[enrollment(answer) for answer in answers])
        return
    refused = [answer for answer in answers if not answer.is_enrolled]
    labels = {answer.label for answer in answers if answer.is_enrolled and answer.label}
    told = counted(len(answers) - len(refused), "exemplar")
    click.echo(f"enrolled {told} of {counted(len(labels), 'class', 'classes')} in {gallery}")
    if num_unknowns:
        click.echo(f"kept {counted(num_unknowns, 'unknown probe')}; `ilk unknown list` lists them")
    for answer in refused[:20]:
        click.echo(f"not enrolled: {answer.name}: {answer.reason}", err=True)
