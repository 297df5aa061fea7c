from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ilk.artifact import Artifact, class_hash
from ilk.config import load_run
from ilk.embedding import embed_items
from ilk.encoders.module import ModuleEncoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import ConfigError, DataError, MissingExtra, NothingLearnt
from ilk.evaluation.retrieval import retrieval
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.training import fit
from ilk.training.checkpoints import load_checkpoint
from ilk.training.module import TrainingModule


def _rows() -> Items:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(8, 6)), 5, 0) + 0.3 * rng.normal(size=(40, 6))
    return Items.from_arrays(rows.astype(np.float32), [f"c{i // 5}" for i in range(40)])


def _linear_encoder() -> ModuleEncoder:
    torch.manual_seed(0)
    return ModuleEncoder(nn.Linear(6, 4), Preprocess(modality="array", shape=(6,)), 4)


@pytest.fixture(scope="module")
def trained(patterns: Items, tiny_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with test items in its source, one of which is broken, as is a training item."""
    folder = tmp_path_factory.mktemp("trained")
    broken = folder / "broken.png"
    broken.write_bytes(b"no picture")
    tests = [Item(broken, f"t{i // 2}", f"t{i}", "test") for i in range(6)]
    items = Items((*tests, *patterns.items, Item(broken, "c0", "broken.png")))
    changes = ("schedule.validate_every=1", "data.on_unreadable=skip", "seed=5")
    told: list[str] = []
    out = fit(tiny_run(*changes), items=items, output=folder / "a", tell=told.append)
    (folder / "told").write_text("\n".join(told))
    return out


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_seed_decides_alone(
    patterns: Items, tiny_run: Any, tmp_path: Path, precision: str
) -> None:
    weights = []
    for i, seed in enumerate((0, 0, 1)):
        torch.rand(i)
        np.random.seed(i)
        random.seed(i)
        run = tiny_run(f"seed={seed}", f"trainer.precision={precision}")
        out = fit(run, items=patterns, output=tmp_path / f"{i}", allow_untrained=True)
        weights.append((out / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_the_same_run_gives_the_same_artifact(tiny_run: Any, tmp_path: Path) -> None:
    parts = []
    for i in range(2):
        folder = tmp_path / f"{i}" / "a"
        folder.parent.mkdir()
        fit(tiny_run(), items=_rows(), encoder=_linear_encoder(), output=folder)
        parts.append(folder)
    assert Artifact.load(parts[0]).fingerprint == Artifact.load(parts[1]).fingerprint
    for one in parts[0].iterdir():
        assert one.read_bytes() == (parts[1] / one.name).read_bytes(), one.name


@pytest.mark.usefixtures("no_export")
def test_the_global_state_is_left_as_it_was(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    before = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    legacy = np.random.get_state()[1].copy()  # type: ignore[index]
    fit(tiny_run(), items=patterns, output=tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.are_deterministic_algorithms_enabled() == before[1]
    assert np.array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]


def test_the_best_weights_are_exported_with_their_figure(trained: Path, patterns: Items) -> None:
    artifact = Artifact.load(trained)
    _, facts = load_checkpoint(trained.with_name("a.run") / "checkpoints" / "last.safetensors")
    scores = {int(step): score for step, score in facts["scores"].items()}
    assert list(scores) == list(range(9))
    assert facts["best_step"] == max(scores, key=lambda step: (scores[step], step))
    hashes = artifact.manifest.validation_classes
    validation = [label for label in patterns.classes if class_hash(label) in hashes]
    assert len(validation) == 2
    embedded = embed_items(open_encoder(trained), patterns.of_classes(validation))
    found = retrieval(embedded.embeddings, embedded.items.class_ids, artifact.distance)
    figures = {figure["name"]: figure for figure in artifact.manifest.metrics}
    wanted = found["map_at_r"].mean()
    assert figures["validation_map_at_r"]["value"] == pytest.approx(wanted, abs=1e-6)
    assert max(scores.values()) == pytest.approx(wanted, abs=1e-6)


def test_the_artifact_records_the_resolved_run(trained: Path) -> None:
    manifest = Artifact.load(trained).manifest
    assert manifest.seed == 5
    assert '"auto"' not in json.dumps(manifest.config)
    assert {"torch", "lightning", "numpy"} <= manifest.versions.keys()
    again = load_run(trained.with_name("a.run") / "run.toml")
    stated = json.loads(json.dumps(manifest.config))
    assert again.as_dict() | {"detector": {"name": "whole_image"}} == stated


def test_test_items_are_not_even_read(trained: Path) -> None:
    manifest = Artifact.load(trained).manifest
    hashes = {*manifest.training_classes, *manifest.validation_classes}
    assert not hashes & {class_hash(f"t{i}") for i in range(3)}
    told = trained.with_name("told").read_text().splitlines()
    assert any("6 items of other splits are not touched" in line for line in told)
    assert not any(line.startswith("skipped t") for line in told)


def test_skipped_items_are_told_and_left_out(trained: Path) -> None:
    told = trained.with_name("told").read_text().splitlines()
    assert sum(line.startswith("skipped broken.png: ") for line in told) == 1


@pytest.fixture
def spoiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every step spoil the weights."""
    plain = TrainingModule.optimizer_step

    def spoil(self: TrainingModule, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        for parameter in self.network.parameters():
            parameter.data.zero_()

    monkeypatch.setattr(TrainingModule, "optimizer_step", spoil)


@pytest.mark.usefixtures("spoiling")
def test_a_run_that_learns_nothing_says_so_and_writes_nothing_unasked(
    tiny_run: Any, tmp_path: Path
) -> None:
    encoder, output = _linear_encoder(), tmp_path / "a"
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    told: list[str] = []
    options: dict[str, Any] = {"items": _rows(), "output": output, "tell": told.append}
    with pytest.raises(NothingLearnt, match=r"learnt nothing .* --resume --allow-untrained"):
        fit(tiny_run(), encoder=encoder, **options)
    assert not output.exists()
    again = _linear_encoder()
    fit(tiny_run(), encoder=again, **options, resume=True, allow_untrained=True)
    assert "taking the weights of step 0" in told
    assert any(line.startswith("WARNING") for line in told)
    assert all(torch.equal(v, before[k]) for k, v in again.state_dict().items())
    assert "These are the weights that training started from" in (output / "CARD.md").read_text()


def test_two_validation_classes_give_no_interval(trained: Path) -> None:
    figures = Artifact.load(trained).manifest.metrics
    assert [(f["num_classes"], f["low"], f["high"]) for f in figures] == [(2, None, None)] * 2
    assert all("too few for an interval" in f["note"] for f in figures)
    told = trained.with_name("told").read_text()
    assert "2 validation classes are too few to choose weights by" in told


@pytest.mark.usefixtures("no_export")
def test_a_head_whose_validation_gets_worse_stops_early(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = {0: 0.5, 1: 0.7, 2: 0.6, 3: 0.7, 4: 0.6, 5: 0.6, 6: 0.69, 7: 0.9, 8: 0.9}
    plain = TrainingModule.on_validation_epoch_end

    def get_worse(self: TrainingModule) -> None:
        plain(self)
        self.scores[self.step] = worse[self.step]

    monkeypatch.setattr(TrainingModule, "on_validation_epoch_end", get_worse)
    settings = ("schedule.validate_every=1", "schedule.steps=8")
    told: list[str] = []
    for mode, last in (("head", 6), ("whole", 8)):
        run, output = tiny_run(f"trainer.mode={mode}", *settings), tmp_path / mode
        fit(run, items=patterns, output=output, tell=told.append)
        _, facts = load_checkpoint(tmp_path / f"{mode}.run" / "checkpoints" / "last.safetensors")
        assert facts["step"] == last
        assert facts["best_step"] == {"head": 3, "whole": 8}[mode]
    assert sum("stopped early, at step 6 of 8" in line for line in told) == 1
    shutil.rmtree(tmp_path / "head")
    fit(
        tiny_run("trainer.mode=head", *settings),
        items=patterns,
        output=tmp_path / "head",
        resume=True,
    )
    _, facts = load_checkpoint(tmp_path / "head.run" / "checkpoints" / "last.safetensors")
    assert facts["step"] == 6  # it has ended, and is not gone on with


@pytest.mark.usefixtures("no_export")
def test_csv_and_tensorboard_logs(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    fit(tiny_run('trainer.loggers=["csv", "tensorboard"]'), items=patterns, output=tmp_path / "a")
    logs = tmp_path / "a.run" / "logs"
    with next(logs.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows if row["validation_map_at_r"]]
    assert steps == [0, 3, 6, 8]
    assert [int(row["step"]) for row in rows if row["loss"]] == [2, 4, 6, 8]
    assert list(logs.rglob("events.out.tfevents*"))


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(("name", "package"), [("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_logger_whose_package_is_missing_names_it(
    patterns: Items, tiny_run: Any, tmp_path: Path, name: str, package: str
) -> None:
    pytest.importorskip("lightning")
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(MissingExtra, match=f"pip install {package}"):
            fit(tiny_run(f'trainer.loggers=["{name}"]'), items=patterns, output=tmp_path / "a")
    else:
        pytest.skip(f"{package} is installed")


@pytest.mark.usefixtures("no_export")
def test_an_unknown_logger_is_answered_with_the_nearest(
    patterns: Items, tiny_run: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no logger 'tensorbord'; did you mean 'tensorboard'"):
        fit(tiny_run('trainer.loggers=["tensorbord"]'), items=patterns, output=tmp_path / "a")


def test_any_torch_module_on_arrays_can_be_trained(tiny_run: Any, tmp_path: Path) -> None:
    items = _rows()
    out = fit(tiny_run(), items=items, encoder=_linear_encoder(), output=tmp_path / "a")
    manifest = Artifact.load(out).manifest
    assert manifest.config["augment"]["name"] == "none"
    assert "ModuleEncoder" in manifest.config["encoder"]["name"]
    assert len(embed_items(open_encoder(out), items)) == len(items)


def test_arrays_without_an_encoder_say_how(tiny_run: Any, tmp_path: Path) -> None:
    items = Items.from_arrays(np.zeros((20, 6), np.float32), [f"c{i // 2}" for i in range(20)])
    with pytest.raises(ConfigError, match=r"arrays need an encoder of yours"):
        fit(tiny_run(), items=items, output=tmp_path / "a")


@pytest.mark.usefixtures("no_export")
def test_the_output_is_not_overwritten_unasked(
    patterns: Items, tiny_run: Any, tmp_path: Path
) -> None:
    out = tmp_path / "a"
    out.mkdir()
    with pytest.raises(ConfigError, match=r"exists already: choose another.*--overwrite"):
        fit(tiny_run(), items=patterns, output=out)
    with pytest.raises(ConfigError, match="the run is finished"):
        fit(tiny_run(), items=patterns, output=out, resume=True)
    with pytest.raises(ConfigError, match="contradict each other"):
        fit(tiny_run(), items=patterns, output=out, resume=True, overwrite=True)


@pytest.mark.usefixtures("no_export")
def test_a_folder_that_is_no_run_is_left_alone(
    patterns: Items, tiny_run: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.run").mkdir()
    (tmp_path / "a.run" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not a folder of a run"):
        fit(tiny_run(), items=patterns, output=tmp_path / "a", overwrite=True)
    assert (tmp_path / "a.run" / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("no_export")
def test_a_full_disk_is_noticed_before_training(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"has room for 0 MiB; make room"):
        fit(tiny_run(), items=patterns, output=tmp_path / "a")


def test_without_a_source_there_is_nothing_to_train_on(tiny_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.source: expected a source of items, got none"):
        fit(tiny_run(), output=tmp_path / "a")
