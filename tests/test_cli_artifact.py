"""`ilk artifact`: what a person types to import an encoder, to get a ready one, to look at one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from tests.conftest import make_linear_onnx

from ilk.artifact import Artifact
from ilk.cli.artifact.words import named_settings, preprocess_settings
from ilk.cli.main import ilk
from ilk.encoders.onnx import open_encoder
from ilk.errors import IlkError, InvalidInput, MissingWeights, PluginError, WrongWeights
from ilk.model_files import model_file
from ilk.ready import artifact_path
from ilk.recognizer import Recognizer

GREY = ("--preprocess", "size_pixels=4", "--preprocess", "channels=1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path, linear_onnx: bytes) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(linear_onnx)
    return path


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(ilk, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_importing_and_showing(
    model: Path, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--cohort", picture_folder, "--licence", "MIT", "--trained-on", "birds", "--json")
    done = run("artifact", "import", model, *GREY, "--distance", "euclidean", *options)
    facts = json.loads(done.stdout)
    assert (facts["schema"], facts["location"]) == ("ilk.artifact", "net.ilk")
    assert (facts["num_cohort_items"], facts["num_cohort_classes"]) == (6, 2)
    assert (facts["licence"], facts["pretrained_on"]) == ("MIT", "birds")
    assert facts["imported"]["file"] == "net.onnx"
    shown = run("artifact", "show", "net.ilk").stdout
    for said in ("euclidean", "channels=1", "6 items of 2 classes", "MIT", "elsewhere", "net.onnx"):
        assert said in shown, said
    assert facts["encoder_fingerprint"] in shown
    assert json.loads(run("artifact", "show", "net.ilk", "--json").stdout) == facts


@pytest.mark.parametrize("words", ["8x2", "8,2", "[8, 2]"])
def test_a_size_may_be_height_and_width(
    tmp_path: Path, words: str, linear_weights: np.ndarray
) -> None:
    content = onnx.ModelProto.FromString(make_linear_onnx(linear_weights))
    for dim, side in zip(
        content.graph.input[0].type.tensor_type.shape.dim[2:], (8, 2), strict=True
    ):
        dim.dim_value = side
    (tmp_path / "tall.onnx").write_bytes(content.SerializeToString())
    output = tmp_path / "tall.ilk"
    given = ("artifact", "import", tmp_path / "tall.onnx", "--output", output, *GREY[2:])
    assert "size_pixels=8x2" in run(*given, "--preprocess", f"size_pixels={words}").stdout
    artifact = Artifact.load(output)
    assert artifact.preprocess.input_shape == (1, 8, 2)
    assert open_encoder(artifact).embed(np.ones((2, 1, 8, 2))).shape == (2, 3)
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["format_version"], manifest["preprocess"]["size_pixels"]) == (2, [8, 2])
    with pytest.raises(InvalidInput, match="set size_pixels=8x2 and channels=1"):
        run(*given, "--preprocess", "size_pixels=8", "--overwrite")


def test_without_a_cohort_it_says_what_that_means(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine"
    done = run("artifact", "import", model, *GREY, "--distance", "cosine", "--output", output)
    assert "gallery calibrate GALLERY --strangers SOURCE" in done.stderr
    assert "none: calibrate galleries on strangers of their own" in done.stdout
    with pytest.raises(IlkError, match="exists already"):
        run("artifact", "import", model, *GREY, "--distance", "cosine", "--output", output)


def test_a_toml_file_and_options_of_distance_and_detector(model: Path, tmp_path: Path) -> None:
    settings = tmp_path / "way.toml"
    settings.write_text('size_pixels = 9\nchannels = 1\nmean = [0.25]\nresize = "crop"\n')
    options = ("--preprocess", settings, "--preprocess", "size_pixels=4", "--title", "linear net")
    detector = ("--detector", "boxes,min_size_pixels=3", "--output", tmp_path / "o")
    run("artifact", "import", model, *options, "--distance", "hyperbolic,curvature=0.5", *detector)
    artifact = Artifact.load(tmp_path / "o")
    assert (artifact.preprocess.size_pixels, artifact.preprocess.mean) == (4, (0.25,))
    assert artifact.preprocess.resize == "crop"
    assert artifact.distance.settings["curvature"] == 0.5
    assert artifact.detector == {"name": "boxes", "min_size_pixels": 3}
    assert artifact.manifest.encoder["name"] == "linear net"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("mean=0.5", {"mean": [0.5]}),
        ("std=0.2,0.3,0.4", {"std": [0.2, 0.3, 0.4]}),
        ("mean=[0.1, 0.2, 0.3]", {"mean": [0.1, 0.2, 0.3]}),
        ("shape=3,40", {"shape": [3, 40]}),
        ("shape=7", {"shape": [7]}),
        ("channel_order=bgr", {"channel_order": "bgr"}),
        ("trim=true", {"trim": True}),
        ('resize="pad"', {"resize": "pad"}),
    ],
)
def test_settings_are_read_as_typed(word: str, expected: dict[str, Any]) -> None:
    assert preprocess_settings([word]) == expected


def test_what_is_no_setting_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("= 3")
    for words in (["size_pixels"], [str(tmp_path / "bad.toml")], ["=3"]):
        with pytest.raises(click.UsageError):
            preprocess_settings(words)
    with pytest.raises(click.UsageError, match="once per KEY=VALUE, got 'size_pixels=4,mean=0'"):
        preprocess_settings(["size_pixels=4,mean=0"])
    with pytest.raises(click.UsageError, match="expected KEY=VALUE"):
        named_settings("faces,112")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--preprocess", "size=4", "--distance", "cosine"), InvalidInput, "unknown ..size"),
        ((*GREY, "--distance", "cosin"), InvalidInput, "distance must be one of"),
        ((*GREY, "--distance", "cosine,a=1"), InvalidInput, "does not take"),
        ((*GREY, "--distance", "cosine", "--detector", "bo"), PluginError, "no plugin named 'bo'"),
        (
            ("--preprocess", "size_pixels=5", "--preprocess", "channels=1", "--distance", "cosine"),
            InvalidInput,
            "set size_pixels=4",
        ),
        ((*GREY, "--distance", "cosine", "--embedding", "y"), InvalidInput, "name of an output"),
    ],
)
def test_what_cannot_be_imported(
    model: Path, tmp_path: Path, options: tuple[str, ...], error: type[IlkError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run("artifact", "import", model, *options, "--output", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_what_must_be_said_of_a_network_is_asked_for(model: Path) -> None:
    done = CliRunner().invoke(ilk, ["artifact", "import", str(model)])
    assert done.exit_code == 2
    assert "Missing option '--preprocess'" in done.stderr


def test_the_published_file_imports_as_the_ready_encoder(tmp_path: Path) -> None:
    """The same bytes, by either way in."""
    model = tmp_path / "sface.onnx"
    model.write_bytes(model_file("sface", may_download=False).content)
    way = ("size_pixels=112", "mean=0", f"std={1 / 255!r}")
    words = [word for setting in way for word in ("--preprocess", setting)]
    done = run("artifact", "import", model, *words, "--output", tmp_path / "o", "--json")
    imported = Artifact.load(tmp_path / "o")
    assert json.loads(done.stdout)["imported"]["sha256"].startswith("fb143eea")
    ready = Artifact.load(artifact_path("faces"))
    assert imported.encoder_fingerprint == ready.encoder_fingerprint
    assert imported.onnx() == ready.onnx()


def test_the_ready_artifact_makes_a_gallery(tmp_path: Path) -> None:
    facts = json.loads(run("artifact", "ready", "faces", "--offline", "--json").stdout)
    assert facts["detector"] == {"name": "faces", "size_pixels": 112}
    assert json.loads(run("artifact", "show", "faces", "--json").stdout) == facts
    made = run("gallery", "create", tmp_path / "family.gallery", "faces").stdout
    assert "not calibrated yet" in made
    with Recognizer.create(tmp_path / "other.gallery", "faces") as recognizer:
        assert recognizer.encoder.fingerprint == facts["encoder_fingerprint"]


def test_weights_that_are_not_there_or_not_right(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="expected the file of SFace"):
        run("artifact", "ready", "faces", "--weights", tmp_path / "none.onnx")
    (tmp_path / "sface.onnx").write_bytes(np.zeros(9).tobytes())
    with pytest.raises(WrongWeights, match="with SHA-256"):
        run("artifact", "ready", "faces", "--weights", tmp_path / "sface.onnx")
    with pytest.raises(InvalidInput, match="expected a ready artifact, faces, got 'voices'"):
        run("artifact", "ready", "voices")


def test_an_artifact_that_was_trained_is_shown_too(artifact_folder: Path) -> None:
    shown = run("artifact", "show", artifact_folder).stdout
    assert "2 classes" in shown
    assert "imported" not in shown
    assert "5 items of 5 classes" in shown
