"""A gallery of small files under two made-up encoders; as a script, a process that migrates it.

`python migration_world.py LOCATION SOURCES [POINT]` enrolls in one thread and migrates to the other
encoder and back in another, for ever; at POINT it dies as if killed.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ilk.distances import Cosine, Distance, Euclidean
from ilk.gallery import Binding, Gallery
from ilk.gallery.reembedding import Embed
from ilk.items import Item

D, E, BYTES = 4, 6, 16
_WEIGHTS = {
    "a": np.random.default_rng(1).normal(size=(BYTES, D)),
    "b": np.random.default_rng(2).normal(size=(BYTES, E)),
}
POINTS = ("copied once", "half copied", "before publishing", "published", "in use")


def binding(which: str, distance: Distance | None = None) -> Binding:
    chosen = distance or (Cosine() if which == "a" else Euclidean())
    size = _WEIGHTS[which].shape[1]
    return Binding(distance=chosen, embedding_size=size, encoder_fingerprint=which * 20)


def embed(which: str, contents: Sequence[bytes | Path]) -> list[np.ndarray | str]:
    rows: list[np.ndarray | str] = []
    for content in contents:
        data = content.read_bytes() if isinstance(content, Path) else content
        if len(data) != BYTES:
            rows.append("it is broken")
        else:
            rows.append((np.frombuffer(data, np.uint8) - 127.5) @ _WEIGHTS[which])
    return rows


def encoder(which: str) -> Embed:
    return lambda contents: embed(which, [c for c in contents if not isinstance(c, Item)])


def embeddings(which: str, contents: Sequence[bytes]) -> np.ndarray:
    return np.array(embed(which, contents))


def contents_of(class_number: int, count: int) -> list[bytes]:
    """Contents of one class: near each other under any encoder."""
    generator = np.random.default_rng([7, class_number])
    middle = generator.integers(30, 225, BYTES)
    noise = generator.integers(-12, 13, (count, BYTES))
    return [row.astype(np.uint8).tobytes() for row in middle + noise]


def hashes_of(contents: Sequence[bytes]) -> list[str]:
    return [hashlib.sha256(content).hexdigest() for content in contents]


def write(folder: Path, label: str, contents: Sequence[bytes]) -> list[str]:
    """Write contents as files of a class; return their names in the folder."""
    (folder / label).mkdir(parents=True, exist_ok=True)
    first = len(list((folder / label).iterdir()))
    names = [f"{label}/{first + i}.bin" for i in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    return names


def enroll(
    gallery: Gallery, sources: Path, label: str, contents: Sequence[bytes], **options: Any
) -> list[int]:
    """Enroll contents whose files are in the sources; return the ids."""
    which = gallery.binding.encoder_fingerprint[0]
    answers = gallery.enroll(
        label,
        embeddings(which, contents),
        names=write(sources, label, contents),
        content_hashes=hashes_of(contents),
        **options,
    )
    assert all(answer.is_enrolled for answer in answers), answers
    return [answer.exemplar_id or 0 for answer in answers]


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _die(point: str) -> None:
    """Make this process end without any clean-up when it comes to a point."""
    from ilk.gallery import moving
    from ilk.gallery.location import Location
    from ilk.stores.sqlite import copying

    def after(place: Any, name: str, count: int = 1) -> None:
        act, calls = getattr(place, name), itertools.count(1)

        def wrapped(*args: Any, **options: Any) -> Any:
            result = act(*args, **options)
            if next(calls) == count:
                os._exit(9)
            return result

        setattr(place, name, wrapped)

    if point == "copied once":
        after(moving.Moving, "copy")
    elif point == "half copied":
        after(copying, "_copy_log")
    elif point == "before publishing":
        after(moving.Moving, "_of_unknowns")
    elif point == "published":
        after(moving, "publish")
    elif point == "in use":
        after(Location, "use")


def _enroll_for_ever(location: Path, sources: Path) -> None:
    from ilk.errors import WrongEncoder

    with Gallery.open(location, searcher="exact") as gallery:
        known = {row.label for row in gallery.labels()}
        for number in itertools.count(1000):
            label = f"class {number}"
            if label in known:
                continue
            contents = contents_of(number, 2)
            names = write(sources, label, contents)
            while True:
                which = gallery.binding.encoder_fingerprint
                try:
                    with gallery.access.only_for(which):
                        gallery.enroll(
                            label,
                            embeddings(which[0], contents),
                            names=names,
                            content_hashes=hashes_of(contents),
                        )
                    break
                except WrongEncoder:
                    continue
            tell(f"enrolled {label}")


def main(location: Path, sources: Path, point: str) -> None:
    from ilk.gallery.migration import drop_previous, migrate

    with Gallery.open(location, searcher="exact") as gallery:
        if point:
            _die(point)
        else:
            task = threading.Thread(target=_enroll_for_ever, args=(location, sources), daemon=True)
            task.start()
        tell("begun")
        while True:
            with gallery.access.fresh():
                which = "b" if gallery.binding.encoder_fingerprint[0] == "a" else "a"
            migrate(gallery.access, binding(which), encoder(which), sources=sources)
            tell(f"migrated {which}")
            drop_previous(location)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), (sys.argv[3:] or [""])[0])
