"""The demo and the Omniglot reproduction, end to end and cut short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ilk.artifact import Artifact
from ilk.cli.demo import demo as demo_command
from ilk.cli.reproduce import reproduce
from ilk.config import load_run
from ilk.gallery import Gallery
from ilk.recipes import recipe

SHORT = ["--set", "schedule.steps=2", "--set", "schedule.validate_every=2"]
SMALL = ["--set", "batch.classes=4", "--set", "batch.items_per_class=4"]


@pytest.mark.parametrize("name", ["glyphs", "omniglot"])
def test_a_recipe_differs_from_the_defaults_and_can_be_changed(name: str) -> None:
    assert recipe(name).schedule.steps != load_run().schedule.steps
    assert recipe(name, ("schedule.steps=7",)).schedule.steps == 7


@pytest.mark.slow
def test_the_demo_tells_what_became_of_strangers_and_leaves_pictures(tmp_path: Path) -> None:
    done = CliRunner().invoke(demo_command, ["--output", str(tmp_path / "demo"), *SHORT, *SMALL])
    assert done.exit_code == 0, done.output
    assert "of pictures of strangers get a name" in done.output
    with Gallery.open(tmp_path / "demo" / "characters.gallery") as gallery:
        assert len(gallery.labels()) == 229
        assert gallery.threshold.target_fpir == 0.05
    with Image.open(tmp_path / "demo" / "decisions.png") as sheet:
        assert min(sheet.size) > 300
    assert (tmp_path / "demo" / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert Artifact.load(tmp_path / "demo" / "encoder.ilk").manifest


def _alphabet(folder: Path, num_characters: int, rng: np.random.Generator) -> None:
    for character in range(num_characters):
        ends = rng.integers(10, 95, size=(4, 2))
        for drawer in range(4):
            page = Image.new("1", (105, 105), 1)
            strokes = [tuple(map(int, end)) for end in ends + rng.integers(-4, 5, size=(4, 2))]
            ImageDraw.Draw(page).line(strokes, fill=0, width=3)
            target = folder / f"character{character:02d}" / f"{character:04d}_{drawer:02d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            page.save(target)


def test_the_reproduction_reports_the_one_shot_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawings = tmp_path / "images_background"
    for name, size in (("Angelic", 8), ("Latin", 8), ("Gujarati", 8), ("Greek", 20)):
        _alphabet(drawings / name, size, rng)
    output = tmp_path / "out"
    arguments = ["omniglot", "--data", str(tmp_path), "--output", str(output)]
    done = CliRunner().invoke(reproduce, [*arguments, *SHORT, *SMALL])
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    shots = json.loads((output / "one_shot.json").read_text())
    assert shots["num_trials"] == 18_000
    assert set(shots["per_alphabet"]) == {"Greek"}
    assert f"one-shot error, 18,000 trials {shots['error']:.2%}" in done.output
