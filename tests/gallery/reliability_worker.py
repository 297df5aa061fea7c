"""A process that changes a gallery of points: `python reliability_worker.py kill|share ...`.

Every exemplar has a point of its own on a grid, and its content tells where it came from. What is
about to be done and what was acknowledged is told line by line, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ilk.distances import Euclidean
from ilk.gallery import Binding, Gallery

D, SIDE = 4, 1000
KINDS = ("enroll", "remove", "merge", "erase", "snapshot")
_BULK = 1100
"""Rows that make a snapshot worth writing."""


def create(place: str) -> Gallery:
    """Make an empty gallery; no stranger is on the grid, so a probe's own point is accepted."""
    binding = Binding(distance=Euclidean(), embedding_size=D, encoder_fingerprint="grid")
    gallery = Gallery.create(place, binding, margin=0.0, actor="ada")
    gallery.calibrate(0.01, strangers=np.random.default_rng(5).integers(0, SIDE, (99, D)) + 0.5)
    return gallery


def point_of(content: str) -> np.ndarray:
    """Return the point that stands for a content, (D,) whole numbers below `SIDE`; no two meet."""
    generator = np.random.default_rng(list(content.encode()))
    return generator.integers(0, SIDE, D).astype(np.float64)


def points_of(contents: Sequence[str]) -> np.ndarray:
    return np.array([point_of(content) for content in contents])


def tell(word: str, **what: Any) -> None:
    sys.stdout.write(json.dumps({"word": word, **what}) + "\n")
    sys.stdout.flush()


def enroll(gallery: Gallery, label: str, contents: Sequence[str], call: str = "") -> list[int]:
    """Enroll contents; return the ids of their exemplars."""
    answers = gallery.enroll(
        label,
        points_of(contents),
        content_hashes=contents,
        names=[f"{content}.png" for content in contents],
        crops=[content.encode() * 50 for content in contents],
        guard="off",
        call=call,
    )
    assert all(answer.is_enrolled for answer in answers), answers
    return [answer.exemplar_id for answer in answers if answer.exemplar_id is not None]


def change_and_change(place: str, kind: str, first: int) -> None:
    """Make changes of one kind for ever, with those that it needs before it."""
    gallery = Gallery.open(place, actor="ada")
    for step in range(first, sys.maxsize):
        here, there = f"class-{step}-a.", f"class-{step}-b."
        wanted = [("enroll", here, [f"of-{step}-{i}-a." for i in range(3)])]
        if kind == "merge":
            wanted += [("enroll", there, [f"of-{step}-{i}-b." for i in range(3)])]
        if kind == "snapshot":
            wanted = [("enroll", here, [f"of-{step}-{i}-s." for i in range(_BULK)])]
        if kind == "erase":  # of any age, so that it may be in a snapshot
            here = random.Random(step).choice([here, *(row.label for row in gallery.labels())])
        if kind != "enroll":
            wanted += [(kind, here, [there])]
        for action, label, others in wanted:
            tell("begin", action=action, label=label, others=others)
            start = time.perf_counter()
            if action == "enroll":
                enroll(gallery, label, others)
            elif action == "remove":
                gallery.remove(label)
            elif action == "merge":
                gallery.merge(label, others[0])
            elif action == "erase":
                gallery.erase(label)
            else:
                gallery.close()
            tell("done", action=action, seconds=time.perf_counter() - start)
            if action == "snapshot":
                gallery = Gallery.open(place, actor="ada")


class Sharer:
    """One of several processes that work on one gallery, each on classes of its own.

    All also enroll into the same few classes.
    """

    def __init__(self, place: str, who: str) -> None:
        self.gallery = Gallery.open(place, actor=who)
        self.who = who
        self.chance = random.Random(who)
        self.own: dict[str, list[str]] = {}
        """Contents of the classes that are there, by label."""
        self.gone: set[str] = set()
        """Labels that no class has any more."""
        self.closed: list[str] = []
        """Contents of erased classes."""
        self.count = 0

    def step(self) -> None:
        actions = ["enroll", "enroll", "enroll", "add", "share"]
        if self.own:
            actions += ["rename", "rename", "remove", "merge", "erase", "erase"]
        self.count += 1
        action = self.chance.choice(actions)
        label = self.chance.choice(sorted(self.own)) if self.own else ""
        getattr(self, action)(label, f"{self.who}-{self.count}.")
        self.look()

    def enroll(self, _: str, new: str) -> None:
        contents = [f"{new}{i}" for i in range(self.chance.randint(1, 4))]
        self._enroll(new, contents)
        self.own[new] = contents

    def add(self, label: str, new: str) -> None:
        if label:
            self._enroll(label, [new])
            self.own[label].append(new)

    def share(self, _: str, new: str) -> None:
        self._enroll(f"shared-{self.chance.randint(0, 3)}", [new])

    def rename(self, label: str, new: str) -> None:
        change = self.gallery.rename(label, new)
        tell("done", action="rename", label=label, others=[new], change=change)
        self.own[new] = self.own.pop(label)
        self.gone.add(label)

    def remove(self, label: str, _: str) -> None:
        change = self.gallery.remove(label)
        tell("done", action="remove", label=label, others=[], change=change)
        self._forget(label)

    def merge(self, label: str, _: str) -> None:
        into = self.chance.choice(sorted(self.own))
        if into != label:
            change = self.gallery.merge(label, into)
            tell("done", action="merge", label=label, others=[into], change=change)
            self.own[into] += self._forget(label)

    def erase(self, label: str, _: str) -> None:
        change = self.gallery.erase(label).change_id
        tell("done", action="erase", label=label, others=[], change=change)
        self.closed += self._forget(label)

    def look(self) -> None:
        """Ask about what this process put in and took out; its own writes must be seen."""
        known = [(self.chance.choice(self.own[o]), o) for o in self.chance.choices([*self.own], k=2)
                 ] if self.own else []  # fmt: skip
        known += [(self.chance.choice(self.closed), "")] if self.closed else []
        if not known:
            return
        contents = [content for content, _ in known]
        low = self.gallery.history(last=1)[0].id
        answers = self.gallery.identify(points_of(contents), num_candidates=5)
        high = self.gallery.history(last=1)[0].id
        for (content, label), answer in zip(known, answers, strict=True):
            named = {candidate.label for candidate in answer.candidates}
            if named & self.gone:
                tell("wrong", why=f"{named & self.gone} are gone and named at {content}")
            if label and (answer.label, answer.distance) != (label, 0.0):
                tell("wrong", why=f"{content} of {label} is not seen: {answer}")
            closest = answer.candidates[0].label if answer.candidates else None
            tell("answer", content=content, low=low, high=high, label=closest,
                 distance=answer.distance, is_named=answer.label is not None)  # fmt: skip
        listed = {row.label: row.num_exemplars for row in self.gallery.labels()}
        if {o: listed.get(o) for o in self.own} != {o: len(c) for o, c in self.own.items()}:
            tell("wrong", why=f"own classes are not listed: {self.own} {listed}")
        if self.gone & listed.keys():
            tell("wrong", why=f"{self.gone & listed.keys()} are gone and listed")

    def _enroll(self, label: str, contents: list[str]) -> None:
        call = f"{self.who}:{self.count}"
        enroll(self.gallery, label, contents, call)
        tell("done", action="enroll", label=label, others=contents, call=call)

    def _forget(self, label: str) -> list[str]:
        self.gone.add(label)
        return self.own.pop(label)


def share(place: str, who: str, seconds: float) -> None:
    """Work together with others for some time."""
    sharer = Sharer(place, who)
    tell("ready")
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sharer.step()
    sharer.gallery.close()
    tell("end")


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        change_and_change(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        share(sys.argv[2], sys.argv[3], float(sys.argv[4]))
