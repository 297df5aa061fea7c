"""Remedies: what `health` says to type never costs a sound gallery, and mends planted faults."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner
from tests.gallery.conftest import MakeGallery

from ilk.cli.main import ilk
from ilk.distances import Cosine
from ilk.gallery import Gallery

SIZE, NUM_CLASSES, NUM_PROBES = 16, 40, 8


@dataclass(frozen=True)
class World:
    """Exemplars and probes of classes that overlap, a few of which have a second, rarer look."""

    labels: list[str]
    rows: np.ndarray
    probe_labels: list[str]
    probes: np.ndarray
    strangers: np.ndarray
    groups: list[str]


def world(seed: int, num_exemplars: int, noise: float = 0.5) -> World:
    generator = np.random.default_rng(seed)

    def draw(centres: np.ndarray, looks: np.ndarray, count: int) -> np.ndarray:
        chosen = np.repeat(centres[:, None], count, axis=1)
        chosen[:10, 0] = looks[:10]  # a quarter of the classes is seen in another way once
        return chosen + noise * generator.normal(size=chosen.shape)

    centres, looks = generator.normal(size=(2, NUM_CLASSES, SIZE))
    rows = draw(centres, looks, num_exemplars).reshape(-1, SIZE)
    probes = draw(centres, looks, NUM_PROBES).reshape(-1, SIZE)
    away, aside = generator.normal(size=(2, 150, SIZE))
    names = [f"c{k:02}" for k in range(NUM_CLASSES)]
    return World(
        [name for name in names for _ in range(num_exemplars)],
        rows,
        [name for name in names for _ in range(NUM_PROBES)],
        probes,
        draw(away, aside, 4).reshape(-1, SIZE),
        [f"s{k}" for k in range(150) for _ in range(4)],
    )


def gallery_of(make_gallery: MakeGallery, given: World) -> Gallery:
    gallery = make_gallery(distance=Cosine(), size=SIZE, strangers=False)
    gallery.enroll(given.labels, given.rows, guard="off")
    gallery.calibrate(0.05, strangers=given.strangers, groups=given.groups)
    return gallery


def num_right(gallery: Gallery, given: World) -> tuple[int, int]:
    """Probes that are given their name, and probes whose class is the closest."""
    answers = gallery.identify(given.probes)
    pairs = list(zip(answers, given.probe_labels, strict=True))
    named = sum(answer.label == label for answer, label in pairs)
    return named, sum(answer.candidates[0].label == label for answer, label in pairs)


def commands_of(gallery: Gallery) -> list[str]:
    """Every command that is complete as it stands, once."""
    commands = dict.fromkeys(finding.command for finding in gallery.health().findings)
    return [command for command in commands if "FILE" not in command]


def paste(commands: Iterable[str]) -> None:
    for command in commands:
        result = CliRunner().invoke(ilk, shlex.split(command)[1:])
        assert result.exit_code == 0, (command, result.output)


def kinds(commands: Iterable[str]) -> set[str]:
    return {shlex.split(command)[2] for command in commands}


@pytest.mark.parametrize("num_exemplars", [3, 9])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_sound_gallery_is_as_good_after_every_command(
    make_gallery: MakeGallery, seed: int, num_exemplars: int
) -> None:
    given = world(seed, num_exemplars)
    gallery = gallery_of(make_gallery, given)
    before = num_right(gallery, given)
    commands = commands_of(gallery)
    assert "show" in kinds(commands)
    assert "merge" not in kinds(commands)
    paste(commands)
    assert len(gallery.labels()) == NUM_CLASSES
    after = num_right(gallery, given)
    assert after[0] >= before[0] - 1
    assert after[1] >= before[1] - 1


def with_wrong_names(given: World, count: int) -> tuple[World, list[int]]:
    """Give the first exemplars of some classes the names of others; return their positions."""
    rows, size = given.rows.copy(), len(given.labels) // NUM_CLASSES
    at = [(12 + k) * size for k in range(count)]
    for k, place in enumerate(at):
        rows[place] = given.probes[(25 + k) * NUM_PROBES + 1]
    return World(**{**vars(given), "rows": rows}), at


@pytest.mark.parametrize("seed", [0, 1])
def test_exemplars_under_a_wrong_name_are_told_and_their_removal_helps(
    make_gallery: MakeGallery, seed: int
) -> None:
    given, planted = with_wrong_names(world(seed, 6), 8)
    gallery = gallery_of(make_gallery, given)
    wrong = {gallery.exemplars()[at].id for at in planted}
    before = num_right(gallery, given)
    found = gallery.health().of("outlier")
    assert len(wrong & {f.exemplars[0] for f in found}) >= 5
    removals = {f.exemplars[0] for f in found if "remove" in f.command}
    assert len(removals & wrong) >= 2
    assert len(removals - wrong) <= 1
    paste(commands_of(gallery))
    after = num_right(gallery, given)
    assert after[1] > before[1]
    assert after[0] >= before[0]


def test_two_names_of_one_class_are_merged_and_nothing_else(make_gallery: MakeGallery) -> None:
    given = world(3, 12)
    labels = [
        f"{label} again" if label in ("c20", "c21", "c22") and at % 2 else label
        for at, label in enumerate(given.labels)
    ]
    gallery = gallery_of(make_gallery, World(**{**vars(given), "labels": labels}))
    merges = [f for f in gallery.health().of("collision") if "merge" in f.command]
    assert len(merges) >= 2
    assert all(f.labels[1] == f"{f.labels[0]} again" for f in merges)
    before = num_right(gallery, given)
    paste(f.command for f in merges)
    assert num_right(gallery, given)[0] > before[0]
    assert len(gallery.labels()) == NUM_CLASSES + 3 - len(merges)


def test_classes_with_few_exemplars_are_not_merged(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    gallery.enroll(["a", "a", "b", "b"], np.array([[0.0, 0], [1, 0], [0.1, 0], [1.1, 0]]))
    gallery.calibrate(0.01, strangers=np.full((99, 2), 50.0))
    (found,) = gallery.health().of("collision")
    assert found.command == f"ilk gallery show {gallery.access.location} b"


def test_a_rare_view_is_told_and_kept(make_gallery: MakeGallery) -> None:
    """It is as far from its class as junk would be, and no answer is better without it."""
    gallery = make_gallery(strangers=False)
    labels = [f"c{k}" for k in range(8) for _ in range(4)]
    rows = np.array([[100.0 * k + i, 0] for k in range(8) for i in range(4)])
    rows[0] = [550.0, 40.0]
    gallery.enroll(labels, rows)
    (found,) = gallery.health().of("outlier")
    assert found.exemplars == (gallery.exemplars()[0].id,)
    assert "% of the other classes are closer" in found.reason
    assert found.command == f"ilk gallery show {gallery.access.location} c0"


def test_others_use_the_gallery_meanwhile_and_an_interruption_ends_it(
    make_gallery: MakeGallery,
) -> None:
    from threading import Thread

    gallery = make_gallery(strangers=False)
    gallery.enroll(["a"] * 300, np.arange(600.0).reshape(300, 2))
    told: list[tuple[int, int]] = []
    enrolled: list[str] = []

    def enroll() -> None:
        enrolled.append(gallery.enroll("late", np.array([[0.0, 9.0]]))[0].label or "")

    def progress(done: int, of: int) -> None:
        told.append((done, of))
        other = Thread(target=enroll)
        other.start()
        other.join(timeout=60)
        assert not other.is_alive()

    health = gallery.health(progress=progress)
    assert told == [(256, 300), (300, 300)]
    assert enrolled == ["late", "late"]
    assert health.num_exemplars == 300

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.health(progress=stop)
    assert gallery.health().num_exemplars == 301
