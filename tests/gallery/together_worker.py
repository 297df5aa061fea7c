"""One of several processes that change a gallery until they are killed.

`python together_worker.py PLACE WHO FIRST CLASSES`: each works on classes of its own and tells,
line by line as JSON, what it is about to do and what was acknowledged. Every content has a point;
both encoders put it there, so that only what the store does counts.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ilk.distances import Euclidean
from ilk.errors import GalleryError, WrongEncoder
from ilk.gallery import Binding, Gallery
from ilk.gallery.migration import migrate
from ilk.items import Item

D = 4
ACTIONS = ("enroll", "enroll", "rename", "merge", "remove", "undo", "erase", "migrate")


def binding(which: str) -> Binding:
    return Binding(distance=Euclidean(), embedding_size=D, encoder_fingerprint=which * 20)


def point_of(content: str) -> np.ndarray:
    return np.random.default_rng(list(content.encode())).integers(0, 1000, D).astype(np.float64)


def embed(contents: Sequence[bytes | Path | Item]) -> list[np.ndarray | str]:
    """Return the points of kept crops, which are the contents themselves."""
    return [point_of(c.decode()) if isinstance(c, bytes) else "no crop" for c in contents]


def after(classes: dict[str, list[str]], told: dict[str, str]) -> dict[str, list[str]]:
    """Return the classes when a step is done."""
    new = {label: list(contents) for label, contents in classes.items()}
    action, label, other = told["action"], told["label"], told["other"]
    if action == "enroll":
        new[label] = [f"{label}{i}" for i in range(2)]
    elif action == "rename":
        new[other] = new.pop(label)
    elif action == "merge":
        new[other] = sorted(new[other] + new.pop(label))
    elif action in ("remove", "erase"):
        del new[label]
    return new


def tell(word: str, **what: str) -> None:
    sys.stdout.write(json.dumps({"word": word, **what}) + "\n")
    sys.stdout.flush()


def act(gallery: Gallery, action: str, label: str, other: str) -> None:
    if action == "enroll":
        contents = [f"{label}{i}" for i in range(2)]
        answers = gallery.enroll(
            label,
            np.array([point_of(c) for c in contents]),
            content_hashes=contents,
            crops=[c.encode() for c in contents],
            guard="off",
        )
        if not all(answer.is_enrolled for answer in answers):
            raise AssertionError(str(answers))
    elif action == "rename":
        gallery.rename(label, other)
    elif action == "merge":
        gallery.merge(label, other)
    elif action == "remove":
        gallery.remove(label)
    elif action == "undo":  # of a change of its own, whatever others do meanwhile
        gallery.undo(gallery.merge(label, other))
    elif action == "erase":
        gallery.erase(label, moved="erase")
    elif action == "migrate":
        which = "b" if gallery.access.binding.encoder_fingerprint.startswith("a") else "a"
        with suppress(GalleryError):  # somebody else is at it
            migrate(gallery.access, binding(which), embed, allow_missing=True)


def main(place: str, who: str, first: int, classes: dict[str, list[str]]) -> None:
    gallery = Gallery.open(place, actor=who)
    chance = random.Random(f"{who} {first}")
    tell("ready")
    for step in range(first, sys.maxsize):
        action = chance.choice(ACTIONS)
        labels = sorted(classes)
        if action not in ("enroll", "migrate") and len(labels) < 2:
            action = "enroll"
        new = f"{who}-{step}."
        chosen = chance.sample(labels, 2) if len(labels) > 1 else ["", ""]
        label = new if action == "enroll" else chosen[0]
        told = {"action": action, "label": label, "other": new if action == "rename" else chosen[1]}
        tell("begin", **told)
        while True:
            try:
                act(gallery, **told)
            except WrongEncoder:  # moved by another since the last call; nothing was done
                continue
            break
        classes = after(classes, told)
        tell("done", **told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
