"""Migration with pictures: a gallery is embedded again by the encoder of another artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ilk.artifact import Artifact
from ilk.crops import open_crop
from ilk.embedding import EmbeddingCache, embed_items
from ilk.encoder import Encoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import GalleryError, UnreadableItem
from ilk.gallery import Gallery
from ilk.gallery.migration import ComparedProbes, migrate
from ilk.gallery.migration_report import MigrationReport
from ilk.gallery.reembedding import Embed
from ilk.items import Item, Items

__all__ = ["embed_with", "migrate_gallery"]


def migrate_gallery(
    gallery: Gallery,
    artifact: Artifact | str | Path,
    *,
    sources: str | Path | None = None,
    probes: Iterable[Path | str | Item] = (),
    allow_missing: bool = False,
    switch: bool = True,
    confirm: Callable[[MigrationReport], bool] | None = None,
    cache: EmbeddingCache | None = None,
    num_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MigrationReport:
    """Move a gallery to the encoder of another artifact; see `ilk.gallery.migration.migrate`.

    Args:
        gallery: It goes on answering, with the new encoder from the switch on.
        artifact: Of the new encoder.
        sources: The folder that the exemplars were enrolled from.
        probes: Files or items whose answers before and after are compared.
        allow_missing: Go on without the exemplars that have neither source nor crop.
        switch: Whether to put the new generation in use.
        confirm: Called with the report before the switch; False keeps the old generation.
        cache: Of embeddings.
        num_threads: Of the encoders; None leaves it to ONNX Runtime.
        progress: Called with (rows done, rows in all).

    Raises:
        GalleryError: As for `migrate`; or probes are given and the gallery has no encoder.
        UnreadableItem: A probe cannot be read.
        ArtifactError: The artifact cannot be loaded.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    encoder = open_encoder(loaded, num_threads=num_threads)
    items = [i if isinstance(i, Item) else Item(Path(i), "", str(i)) for i in probes]
    compared = None
    if items:
        if gallery.binding.artifact is None:
            raise GalleryError(
                "the gallery holds embeddings from elsewhere and has no encoder to answer about "
                "probes with; leave the probes out, or use ilk.gallery.migration with embeddings"
            )
        before = open_encoder(gallery.binding.artifact, num_threads=num_threads)
        compared = ComparedProbes(
            [item.name for item in items],
            embed_items(before, Items(tuple(items)), cache=cache).embeddings,
            embed_items(encoder, Items(tuple(items)), cache=cache).embeddings,
        )
    return migrate(
        gallery.access,
        loaded,
        embed_with(encoder, cache),
        sources=sources,
        probes=compared,
        allow_missing=allow_missing,
        switch=switch,
        confirm=confirm,
        progress=progress,
    )


def embed_with(encoder: Encoder, cache: EmbeddingCache | None = None) -> Embed:
    """Return what embeds kept crops and files for a migration."""

    def embed(inputs: Sequence[bytes | Path]) -> list[np.ndarray | str]:
        results: list[np.ndarray | str] = [""] * len(inputs)
        items: dict[int, tuple[int, Item]] = {}
        for at, one in enumerate(inputs):
            try:
                source = one if isinstance(one, Path) else open_crop(one)
            except UnreadableItem as error:
                results[at] = str(error)
                continue
            item = Item(source, "", f"{at}")
            items[id(item)] = at, item
        asked = Items(tuple(item for _, item in items.values()))
        embedded = embed_items(encoder, asked, on_unreadable="skip", cache=cache)
        for item, row in zip(embedded.items.items, embedded.embeddings, strict=True):
            results[items[id(item)][0]] = row
        for problem in embedded.items.problems:
            results[int(problem.name)] = problem.reason
        return results

    return embed
