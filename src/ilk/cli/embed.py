"""`ilk embed ARTIFACT SOURCE --out FILE`: embeddings for other tools."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option, on_unreadable_option, source_argument
from ilk.cli.unseen import detector_of

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.unreadable import OnUnreadable

__all__ = ["embed"]


@click.command()
@artifact_argument
@source_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write: .parquet, .npz or .csv. An existing one is replaced.",
)
@click.option(
    "--batch-size",
    default=64,
    show_default=True,
    type=click.IntRange(1, 65536),
    help="Items per call of the encoder.",
)
@click.option(
    "--num-threads",
    type=click.IntRange(1, 1024),
    help="Threads of the encoder. Default: all cores.",
)
@detector_option
@choice_option("only")
@on_unreadable_option
@click.option("--no-cache", is_flag=True, help="Compute all embeddings anew, and cache none.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def embed(
    artifact: Path,
    source: str,
    out: Path,
    batch_size: int,
    num_threads: int | None,
    detector: str | None,
    choice: Choice,
    on_unreadable: OnUnreadable,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Write the embeddings of a source to a file.

    ARTIFACT is a folder that `ilk train` wrote, or the name of a ready one. One row per item: name,
    label, hash (SHA-256 of the content) and embedding; of a picture in which something is detected,
    the content is what is cut out of it. Embeddings are cached by content and encoder in $ILK_CACHE
    (default: ~/.cache/ilk), so a second run over the same files computes nothing.
    """
    from ilk.datasets import open_source
    from ilk.detecting import crops_of
    from ilk.embedding import EmbeddingCache, check_table_path, embed_items, write_table
    from ilk.encoders.onnx import open_encoder

    check_table_path(out)
    loaded = load_artifact(artifact)
    encoder = open_encoder(loaded, num_threads=num_threads)
    items = open_source(source, on_unreadable=on_unreadable)
    with progress_bar() as progress:
        looks = detector_of(loaded, detector)
        items = crops_of(looks, items, choice, progress=partial(progress, "detect"))
        embedded = embed_items(
            encoder,
            items,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            cache=None if no_cache else EmbeddingCache(),
            progress=partial(progress, "embed"),
        )
    write_table(out, embedded, {"encoder_fingerprint": encoder.fingerprint})
    problems = [asdict(problem) for problem in embedded.items.problems]
    counts = {
        "num_items": len(embedded),
        "num_cached": embedded.num_cached,
        "embedding_size": encoder.embedding_size,
    }
    if as_json:
        told = {"out": str(out), **counts, "encoder_fingerprint": encoder.fingerprint}
        click.echo(json.dumps(told | {"problems": problems}, indent=2))
        return
    from ilk.words import counted

    click.echo(
        f"wrote {counted(len(embedded), 'embedding')} of {encoder.embedding_size} numbers to "
        f"{out}, {embedded.num_cached:,} from the cache"
    )
    for problem in problems:
        click.echo(f"skipped: {problem['name']}: {problem['reason']}", err=True)
