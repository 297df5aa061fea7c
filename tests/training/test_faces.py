"""From pictures of people to an encoder that tells apart people whom it never saw."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ilk.artifact import Artifact
from ilk.datasets.portraits import portraits
from ilk.detecting import crops_of, open_detector
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder
from ilk.encoders.small import SmallEncoder
from ilk.evaluation.retrieval import retrieval
from ilk.items import Items

OPTIONS = {"size_pixels": 48, "channels": 3, "trim": False, "width": 12, "embedding_size": 48}
SETTINGS = (
    "detector.name=faces",
    "encoder.name=small",
    "encoder.options={size_pixels=48, channels=3, trim=false, width=12, embedding_size=48}",
    "batch.classes=16",
    "schedule.steps=80",
    "schedule.validate_every=40",
    'trainer.loggers=["csv"]',
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of thirty drawn people, a folder each, and one picture of nobody."""
    root = tmp_path_factory.mktemp("people") / "people"
    for i, item in enumerate(portraits("train", num_people=30).items):
        path = root / item.label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(item.source)).save(path)
    Image.fromarray(np.full((320, 320, 3), 99, np.uint8)).save(root / "person 000" / "wall.png")
    return root


def recall_and_map(embeddings: np.ndarray, items: Items, artifact: Artifact) -> tuple[float, float]:
    found = retrieval(embeddings, items.class_ids, artifact.distance)
    return float(found["recall_at_1"].mean()), float(found["map_at_r"].mean())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["arcface", "adaface"])
def test_people_that_training_never_saw_are_told_apart(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    loss: str,
) -> None:
    from ilk.cli.main import run

    words = [f"--set={s}" for s in (*SETTINGS, f"loss.name={loss}", "data.on_unreadable=skip")]
    output = tmp_path / "people.ilk"
    monkeypatch.setattr(sys, "argv", ["ilk", "train", str(folder), "--output", str(output), *words])
    with pytest.raises(SystemExit) as caught:
        run()
    out, err = capfd.readouterr()
    assert not caught.value.code, err
    assert "cut out 240 of 241; not used: 1 no_face" in out
    assert "skipped person 000/wall.png: no face was found in the picture" in out

    artifact = Artifact.load(output)
    assert artifact.detector["name"] == "faces"
    assert artifact.detector["size_pixels"] == 48
    unseen = crops_of(open_detector(artifact.detector), portraits("test", num_people=25))
    trained = embed_items(open_encoder(output), unseen).embeddings
    torch.manual_seed(0)
    untrained = SmallEncoder(**OPTIONS).eval()  # type: ignore[arg-type]
    inputs = artifact.preprocess.inputs([artifact.preprocess.load(i) for i in unseen.items])
    with torch.no_grad():
        before = untrained(torch.from_numpy(inputs)).numpy()
    recall, precision = recall_and_map(trained, unseen, artifact)
    recall_before, precision_before = recall_and_map(before, unseen, artifact)
    assert recall > recall_before + 0.1
    assert precision > precision_before + 0.1
