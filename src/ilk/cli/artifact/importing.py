"""`ilk artifact import NETWORK.onnx`: a network that was trained elsewhere becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.artifacts import tell_aside
from ilk.cli.galleries import json_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, on_unreadable_option

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.unreadable import OnUnreadable

__all__ = ["import_network"]


@click.command("import")
@click.argument("network", metavar="NETWORK", type=click.Path(path_type=Path))
@click.option(
    "--preprocess",
    multiple=True,
    required=True,
    metavar="KEY=VALUE|FILE.toml",
    help="How inputs are made, as the publisher of the network says: size_pixels (one "
    "number, or HEIGHTxWIDTH), channels, mean "
    "and std (where white is 1; one number, or a,b,c), channel_order (rgb or bgr), resize, "
    "modality. Repeatable.",
)
@click.option(
    "--distance",
    default="cosine",
    show_default=True,
    metavar="NAME[,KEY=VALUE]",
    help="The distance it was trained for: cosine, euclidean or hyperbolic.",
)
@click.option(
    "--cohort",
    metavar="SOURCE",
    help="Labelled items that it was not trained on, to calibrate thresholds with and to measure "
    "it on. Without them, no gallery can be calibrated on the artifact alone.",
)
@click.option(
    "--detector",
    metavar="NAME[,KEY=VALUE]",
    help="What cuts its inputs out of pictures, such as faces,size_pixels=112. Default: nothing; "
    "it sees the whole picture.",
)
@choice_option("only")
@click.option(
    "--embedding", metavar="NAME", help="The output of the network to use, if it has several."
)
@click.option("--licence", default="", help="The licence of the weights, such as MIT.")
@click.option(
    "--trained-on", default="", metavar="TEXT", help="What the weights were trained on, in words."
)
@click.option("--source", default="", metavar="TEXT", help="Where the weights are published.")
@click.option("--title", default="onnx", help="What the network is called.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The artifact to write. Default: the name of the network with `.ilk`.",
)
@on_unreadable_option
@click.option("--overwrite", is_flag=True, help="Replace an existing artifact.")
@json_option
def import_network(
    network: Path,
    preprocess: tuple[str, ...],
    distance: str,
    cohort: str | None,
    detector: str | None,
    choice: Choice,
    embedding: str | None,
    licence: str,
    trained_on: str,
    source: str,
    title: str,
    output: Path | None,
    on_unreadable: OnUnreadable,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make an artifact from an encoder in ONNX form.

    NETWORK is tried before anything is written: it must take one float32 input and give one
    embedding per item, the same whatever else is in the batch. One that was exported for a single
    item at a time is opened for many.

    \b
        ilk artifact import arcface.onnx --preprocess size_pixels=112 \\
            --detector faces,size_pixels=112 --cohort people/
    """  # noqa: D301
    from ilk.artifact import Artifact
    from ilk.cli.artifact.show import tell_artifact
    from ilk.cli.artifact.words import named_settings, preprocess_settings
    from ilk.datasets import open_source
    from ilk.distances import distance_from_settings
    from ilk.importing import import_encoder
    from ilk.preprocess import Preprocess

    way = Preprocess.from_settings(preprocess_settings(preprocess))
    measure = distance_from_settings(named_settings(distance))
    items = open_source(cohort, on_unreadable=on_unreadable) if cohort is not None else None
    with progress_bar() as progress:
        folder = import_encoder(
            network,
            preprocess=way,
            distance=measure,
            output=output if output is not None else Path(f"{network.stem}.ilk"),
            detector=named_settings(detector) if detector is not None else None,
            cohort=items,
            choice=choice,
            licence=licence,
            pretrained_on=trained_on,
            source=source,
            title=title,
            embedding_output=embedding,
            on_unreadable=on_unreadable,
            overwrite=overwrite,
            tell=tell_aside,
            progress=progress,
        )
    tell_artifact(Artifact.load(folder), as_json=as_json)
