"""How often a stranger's track gets a name, and a known person's the right one, by rule.

    python -m benchmarks.tracks [--repeats 20]

People are Gaussian in 64 dimensions, most in families that resemble each other. 200 are enrolled
from three pictures each, n strangers calibrate with one picture each, 200 strangers and 200 known
people pass for 40 frames. A frame's noise is much like that of the one before (correlation .95) and
larger where the quality is poor; what quality shows is noisy itself. Everything is drawn anew in
each repetition. Distances, limits and p-values are ilk's own.

- any frame: each frame is asked about, one name is enough (what counting frames amounts to);
- three frames: at least three frames are named;
- best: the frame of the best quality is the one probe (`ilk watch`, the default);
- typical: of the five best, the one that is closest to the other four is the one probe;
- mean: the mean embedding of the five best is the one probe;
- set: the p-values of the five best are combined (`ilk watch --rule set`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from ilk.calibration import StrangerDistances, clustered_interval, combine_p_values
from ilk.distances import Cosine
from ilk.thresholds import within

D, FAMILIES, PEOPLE, PICTURES, FRAMES, SHOTS, PASSING = 64, 40, 200, 3, 40, 5, 200
RULES = ("any frame", "three frames", "best", "typical", "mean", "set")


@dataclass(frozen=True)
class World:
    name: str
    num_strangers: int
    target: float
    has_families: bool = True
    is_quality_telling: bool = True
    is_calibrated_on_best: bool = True
    """Whether the strangers' pictures are the best of their track, or any frame of it."""


WORLDS = (
    World("n = 499, target 1 %, nobody resembles anybody", 499, 0.01, has_families=False),
    World("n = 499, target 1 %", 499, 0.01),
    World("n = 1999, target 1 %", 1999, 0.01),
    World("n = 499, target 5 %", 499, 0.05),
    World("the same, quality tells nothing", 499, 0.05, is_quality_telling=False),
    World("the same, strangers in poorer pictures", 499, 0.05, is_calibrated_on_best=False),
)


def passing(people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, frames, D) embeddings of N people who pass, and how good each frame looks."""
    noise = rng.normal(size=(len(people), FRAMES, D))
    for i in range(1, FRAMES):
        noise[:, i] = 0.95 * noise[:, i - 1] + np.sqrt(1 - 0.95**2) * noise[:, i]
    blur = np.exp(0.5 * rng.normal(size=(len(people), FRAMES)))
    middle = people + 0.3 * rng.normal(size=people.shape)
    looks = -np.log(blur) + 0.3 * rng.normal(size=blur.shape)
    return middle[:, None] + 0.6 * blur[..., None] * noise, looks


def to_classes(probes: np.ndarray, enrolled: np.ndarray) -> np.ndarray:
    """Return the distance of (..., D) probes to each class, (..., classes)."""
    flat = Cosine().pairwise(probes.reshape(-1, D), enrolled.reshape(-1, D))
    return flat.reshape(*probes.shape[:-1], PEOPLE, PICTURES).min(-1)


def answers(
    tracks: np.ndarray,
    looks: np.ndarray,
    enrolled: np.ndarray,
    strangers: np.ndarray,
    target: float,
) -> dict[str, np.ndarray]:
    """Return for each rule the class that each track is given, -1 for none, (N,)."""
    chosen_on = StrangerDistances(strangers)
    limit = chosen_on.limit(target)
    distances = to_classes(tracks, enrolled)
    best = np.argsort(-looks, axis=1)[:, :SHOTS]
    shots = np.take_along_axis(tracks, best[..., None], 1)
    unit = shots / np.linalg.norm(shots, axis=-1, keepdims=True)
    typical = (unit @ unit.swapaxes(1, 2)).sum(2).argmax(1)
    of_shots = np.take_along_axis(distances, best[..., None], 1)

    def one(of_classes: np.ndarray) -> np.ndarray:
        return np.where(within(of_classes.min(1), limit), of_classes.argmin(1), -1)

    frames = within(distances.min(2), limit)
    closest = np.where(frames.any(1), distances.min(1).argmin(1), -1)
    class_ids = of_shots.mean(1).argmin(1)
    rows = np.arange(len(tracks))
    combined = combine_p_values(chosen_on.p_value(of_shots[rows, :, class_ids]))
    return {
        "any frame": closest,
        "three frames": np.where(frames.sum(1) >= 3, closest, -1),
        "best": one(of_shots[:, 0]),
        "typical": one(of_shots[rows, typical]),
        "mean": one(to_classes(unit.mean(1), enrolled)),
        "set": np.where(within(combined, target), class_ids, -1),
    }


def repetition(world: World, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return who of the strangers was named, and who of the enrolled was named rightly."""
    rng = np.random.default_rng([7, seed])
    families = rng.normal(size=(FAMILIES, D))

    def people(count: int) -> np.ndarray:
        alone = rng.normal(size=(count, D))
        if not world.has_families:
            return alone
        return families[rng.integers(0, FAMILIES, count)] + 0.7 * alone

    def seen(who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tracks, looks = passing(who, rng)
        return tracks, looks if world.is_quality_telling else rng.normal(size=looks.shape)

    known = people(PEOPLE)
    enrolled = known[:, None] + 0.67 * rng.normal(size=(PEOPLE, PICTURES, D))
    tracks, looks = seen(people(world.num_strangers))
    at = looks.argmax(1) if world.is_calibrated_on_best else rng.integers(0, FRAMES, len(looks))
    pictures = tracks[np.arange(len(tracks)), at]
    strangers = np.sort(to_classes(pictures, enrolled).min(1))
    fresh = answers(*seen(people(PASSING)), enrolled, strangers, world.target)
    mated = answers(*seen(known), enrolled, strangers, world.target)
    right = {rule: given == np.arange(PEOPLE) for rule, given in mated.items()}
    return {rule: given >= 0 for rule, given in fresh.items()}, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    for world in WORLDS:
        runs = [repetition(world, seed) for seed in range(repeats)]
        group = np.repeat(np.arange(repeats), PASSING)
        print(f"\n{world.name}")
        print("rule           strangers' tracks named (95 %)     enrolled named rightly")
        for rule in RULES:
            named = np.concatenate([run[0][rule] for run in runs])
            right = np.concatenate([run[1][rule] for run in runs])
            low, high = clustered_interval(named, group)
            shown = f"{100 * named.mean():5.2f} % ({100 * low:.2f} to {100 * high:.2f})"
            print(f"{rule:14} {shown:34} {100 * right.mean():.1f} %")


if __name__ == "__main__":
    main()
