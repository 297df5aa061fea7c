"""What loggers are handed: figures, and the settings behind them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ilk.artifact import Artifact
from ilk.errors import ConfigError
from ilk.items import Items
from ilk.training import fit
from ilk.training.logs import make_loggers


@pytest.mark.usefixtures("no_export")
def test_tensorboard_lists_the_settings(patterns: Items, tiny_run: Any, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    run = tiny_run('trainer.loggers=["tensorboard"]', "seed=3")
    fit(run, items=patterns, output=tmp_path / "a")
    folder = tmp_path / "a.run" / "logs" / "tensorboard" / "from_step_0"
    # files of one second are read in the order of their names, whatever was written first
    found = events.EventAccumulator(str(folder), purge_orphaned_data=False).Reload()
    contents = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    settings = plugin.HParamsPluginData.FromString(contents).session_start_info.hparams
    assert settings["seed"].number_value == 3
    assert settings["loss.name"].string_value == "triplet"
    assert settings["schedule.steps"].number_value == 8
    assert max(event.step for event in found.Scalars("validation_map_at_r")) == 8


@pytest.mark.parametrize("address", ["", ":sqlite:///{folder}/mine.db"])
@pytest.mark.usefixtures("no_export")
def test_mlflow_keeps_settings_and_figures_in_a_database(
    patterns: Items, tiny_run: Any, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logger = "mlflow" + address.format(folder=tmp_path)
    fit(tiny_run(f'trainer.loggers=["{logger}"]'), items=patterns, output=tmp_path / "a")
    where = tmp_path / ("mine.db" if address else "a.run/logs/mlflow/runs.db")
    client = tracking.MlflowClient(f"sqlite:///{where}")
    (run,) = client.search_runs([client.get_experiment_by_name("ilk").experiment_id])
    assert run.data.params["loss.name"] == "triplet"
    assert run.data.params["batch.classes"] == "4"
    assert run.data.metrics["validation_map_at_r"] > 0
    assert run.info.run_name == "a"
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("address", ["ftp://me:secret@host", "sqlite:////proc/none/runs.db"])
def test_an_address_that_mlflow_cannot_use_is_one_line(tmp_path: Path, address: str) -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("mlflow.tracking")
    with pytest.raises(ConfigError, match=r"MLflow cannot log there: .*; give an address") as error:
        make_loggers([f"mlflow:{address}"], tmp_path, run_name="a", version="v")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_only_mlflow_takes_an_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only mlflow takes an address, got 'csv:here'"):
        make_loggers(["csv:here"], tmp_path, run_name="a", version="v")


def test_where_it_logged_is_not_in_the_artifact(
    patterns: Items, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("ilk.training.fit"), "make_loggers", lambda *_, **__: [])
    run = tiny_run('trainer.loggers=["mlflow:postgresql://me:secret@host/runs"]')
    artifact = Artifact.load(fit(run, items=patterns, output=tmp_path / "a"))
    assert artifact.manifest.config["trainer"]["loggers"] == ["mlflow"]
    assert "secret" not in json.dumps(artifact.manifest.config)
    assert "secret" not in (tmp_path / "a" / "CARD.md").read_text()
