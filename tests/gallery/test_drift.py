"""Drift: strangers that come closer are noticed, and chance and repetition are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.gallery.conftest import MakeGallery

from ilk.errors import NotCalibrated
from ilk.gallery import Gallery, commands

LIMIT = 10.0
"""Just above the threshold of these galleries."""


def rays(distances: np.ndarray, seed: int) -> np.ndarray:
    """(n, 8) points at these distances from the origin, far from each other."""
    directions = np.random.default_rng(seed).normal(size=(len(distances), 8))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * distances[:, None]


def calibrated(
    make_gallery: MakeGallery, distances: np.ndarray, groups: list[str] | None = None
) -> Gallery:
    """A class at the origin, calibrated on strangers at these distances."""
    gallery = make_gallery(size=8, strangers=False)
    gallery.enroll("here", np.zeros((1, 8)))
    gallery.calibrate(0.1, strangers=rays(distances, seed=1), groups=groups)
    return gallery


def meet(gallery: Gallery, distances: np.ndarray, seed: int = 2) -> None:
    probes = rays(distances, seed)
    gallery.keep_unknown(gallery.identify(probes), probes)


def usual(count: int, seed: int) -> np.ndarray:
    return 8 + 40 * np.random.default_rng(seed).random(count)


@pytest.mark.parametrize("seed", range(5))
def test_strangers_like_those_of_the_calibration_are_no_sign(
    make_gallery: MakeGallery, seed: int
) -> None:
    """Most of all not because only those beyond the threshold are kept."""
    gallery = calibrated(make_gallery, usual(300, seed))
    meet(gallery, usual(200, seed + 100))
    drift = gallery.drift()
    assert drift.verdict == "no sign"
    assert drift.p_value is not None
    assert drift.p_value > 0.01
    assert drift.command == ""
    assert drift.num_trials < 300
    assert "no sign" in drift.reason


def test_closer_strangers_ask_for_a_calibration(make_gallery: MakeGallery) -> None:
    gallery = calibrated(make_gallery, usual(300, 0))
    meet(gallery, 10.5 + 15 * np.random.default_rng(9).random(60))
    drift = gallery.drift()
    assert drift.verdict == "closer"
    assert drift.gap is not None
    assert drift.gap > 0.3
    assert drift.command in drift.reason
    assert drift.command == commands.calibrate(str(gallery.access.location))


def test_farther_strangers_keep_the_promise(make_gallery: MakeGallery) -> None:
    gallery = calibrated(make_gallery, usual(300, 0))
    meet(gallery, 40 + 30 * np.random.default_rng(9).random(60))
    drift = gallery.drift()
    assert drift.verdict == "farther"
    assert drift.gap is not None
    assert drift.gap < 0
    assert "promise holds" in drift.reason


@pytest.mark.parametrize(("num_calibrated", "num_met"), [(300, 19), (19, 300)])
def test_too_few_to_say(make_gallery: MakeGallery, num_calibrated: int, num_met: int) -> None:
    gallery = calibrated(make_gallery, 20 + np.arange(float(num_calibrated)))
    meet(gallery, 19.9 + np.zeros(num_met))
    drift = gallery.drift()
    assert drift.verdict == "too few"
    assert drift.p_value is None
    assert "too few" in drift.reason


def test_one_stranger_who_comes_often_is_one(make_gallery: MakeGallery) -> None:
    gallery = calibrated(make_gallery, usual(300, 0))
    again = rays(np.array([15.0]), seed=3) + 0.01 * np.random.default_rng(4).normal(size=(200, 8))
    gallery.keep_unknown(gallery.identify(again), again)
    assert gallery.drift().verdict == "too few"
    assert gallery.drift().num_strangers == 1
    meet(gallery, usual(40, 5))
    drift = gallery.drift()
    assert drift.verdict == "no sign"
    assert drift.num_strangers < 42


def test_probes_of_one_calibration_class_count_as_one(make_gallery: MakeGallery) -> None:
    """Ten classes of thirty probes are too few to say anything, three hundred are not."""
    groups = [f"g{i // 30}" for i in range(300)]
    gallery = calibrated(make_gallery, 20 + np.arange(300.0), groups)
    meet(gallery, 55 + np.zeros(60))
    drift = gallery.drift()
    assert drift.verdict == "too few"
    assert drift.effective_trials == pytest.approx(10, abs=0.5)
    apart = rays(20 + np.arange(300.0), seed=1)
    gallery.calibrate(0.1, strangers=apart)
    assert gallery.drift().verdict == "closer"


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_pictures_of_few_strangers_raise_no_alarm(make_gallery: MakeGallery, spread: float) -> None:
    """Strangers come in classes, on both sides, and nothing has changed."""
    alarms = num_judged = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)

        def classes(count: int, rng: np.random.Generator = rng) -> np.ndarray:
            middle = rays(12 + 20 * rng.random(count), seed=int(rng.integers(1 << 30)))
            rows = np.repeat(middle, 12, 0) + spread * rng.normal(size=(12 * count, 8)) / 8**0.5
            return rows.astype(np.float64)

        gallery = make_gallery(f"g{seed}", size=8, strangers=False)
        gallery.enroll("here", np.zeros((1, 8)))
        groups = [f"s{i // 12}" for i in range(12 * 40)]
        gallery.calibrate(0.05, strangers=classes(40), groups=groups)
        for count in (8, 32):
            probes = classes(count)
            gallery.keep_unknown(gallery.identify(probes), probes)
            found = gallery.drift(last=12 * count)
            assert found.num_strangers <= count + 2
            assert (found.verdict == "too few") == (count == 8)
            num_judged += count > 8
            alarms += found.verdict in ("closer", "farther")
    assert num_judged == 15
    assert alarms == 0


def test_distances_are_of_the_gallery_as_it_is_now(make_gallery: MakeGallery) -> None:
    """A class enrolled where the strangers are brings them within the threshold."""
    gallery = calibrated(make_gallery, usual(300, 0))
    probes = rays(usual(60, 7), seed=2)
    gallery.keep_unknown(gallery.identify(probes), probes)
    before = gallery.drift()
    far = np.flatnonzero(np.linalg.norm(probes, axis=1) > LIMIT)[:10]
    gallery.enroll([f"n{i}" for i in far], probes[far] + 0.01)
    assert gallery.drift().num_strangers == before.num_strangers - 10


def test_only_the_latest_are_asked(make_gallery: MakeGallery) -> None:
    gallery = calibrated(make_gallery, usual(300, 0))
    meet(gallery, usual(100, 8), seed=3)
    meet(gallery, 10.5 + 10 * np.random.default_rng(9).random(40), seed=4)
    assert gallery.drift(last=40).verdict == "closer"
    assert gallery.drift(last=40).num_strangers <= 40


def test_without_a_threshold(make_gallery: MakeGallery) -> None:
    with pytest.raises(NotCalibrated):
        make_gallery(strangers=False).drift()


def test_nothing_kept(make_gallery: MakeGallery) -> None:
    drift = make_gallery().drift()
    assert (drift.verdict, drift.num_strangers) == ("too few", 0)
    assert json.loads(json.dumps(drift.to_json(), allow_nan=False))["verdict"] == "too few"
