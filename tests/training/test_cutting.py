"""A detector before training: pictures become crops once, and what cannot be used is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from ilk import plugins
from ilk.artifact import Artifact, find_overlap
from ilk.config import Run, load_run
from ilk.detecting import crops_of
from ilk.detector import Region
from ilk.embedding import embed_items
from ilk.encoders.module import ModuleEncoder
from ilk.encoders.onnx import open_encoder
from ilk.errors import ConfigError, DataError, TrainingStopped
from ilk.images import Box
from ilk.items import Item, Items
from ilk.preprocess import Preprocess
from ilk.training import callbacks, fit
from ilk.training.cutting import cut_out, make_detector
from ilk.training.plan import make_plan

SIDE = 20


class Spots:
    """Finds as many squares as the first pixel says, the second 2 pixels larger than the first."""

    noun = "spot"
    looked_at = 0

    def __init__(self, *, size_pixels: int = 24, least: int = 1) -> None:
        self._size_pixels = size_pixels
        self.settings = {"name": "spots", "size_pixels": size_pixels, "least": least}

    @property
    def is_whole(self) -> bool:
        return False

    def detect(self, image: np.ndarray, *, box: Box | None = None) -> tuple[Region, ...]:
        Spots.looked_at += 1
        return tuple(
            Region(
                box=(i * 24.0, 0.0, i * 24.0 + SIDE + 2 * i, SIDE + 2.0 * i),
                code="faint" if image[0, 1, 0] == 0 else "",
                reason="the spot is faint" if image[0, 1, 0] == 0 else "",
            )
            for i in range(image[0, 0, 0])
        )

    def crop(self, image: np.ndarray, region: Region) -> np.ndarray:
        size = self._size_pixels
        x1, y1, x2, y2 = map(int, region.box)
        return np.asarray(Image.fromarray(image[y1:y2, x1:x2]).resize((size, size)))


@pytest.fixture(autouse=True)
def _spots_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda group, name: Spots if name == "spots" else plain(group, name)
    )
    monkeypatch.setattr(Spots, "looked_at", 0)


def picture(seed: int, num_spots: int = 1, *, is_faint: bool = False) -> np.ndarray:
    """A picture of 200 pixels with noise of a class in its corners."""
    pattern = np.random.default_rng(seed // 10).integers(0, 256, (200, 200, 3))
    noise = np.random.default_rng(seed).integers(-30, 30, pattern.shape)
    pixels = (pattern + noise).clip(0, 255).astype(np.uint8)
    pixels[0, 0], pixels[0, 1] = num_spots, 0 if is_faint else 255
    return pixels


@pytest.fixture
def pictures(tmp_path: Path) -> Items:
    """Eight classes of four files, and two test items, one of which is no picture."""
    items = []
    for i in range(34):
        path = tmp_path / f"{i}.png"
        Image.fromarray(picture(10 * (i // 4) + i % 4)).save(path)
        items.append(Item(path, f"c{i // 4}", path.name, "test" if i > 31 else None))
    items[32].source.write_bytes(b"no picture")  # type: ignore[union-attr]
    return Items(tuple(items), origin="here")


def with_sources(items: Items, sources: dict[int, np.ndarray]) -> Items:
    changed = (
        replace(item, source=sources.get(i, item.source)) for i, item in enumerate(items.items)
    )
    return replace(items, items=tuple(changed))


@pytest.fixture
def spot_run(tiny_run: Callable[..., Run]) -> Callable[..., Run]:
    options = "encoder.options={width=4, size_pixels=16, embedding_size=8, channels=3, trim=false}"
    return partial(tiny_run, "detector.name=spots", options)


def cut(run: Run, items: Items, told: list[str] | None = None) -> Items:
    run, detector = make_detector(run, 16)
    return cut_out(run, detector, items, tell=(told if told is not None else []).append)


def test_an_encoder_that_is_not_square_is_trained_and_exported(
    pictures: Items, tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    options = "encoder.options={width=4, size_pixels=[32, 16], embedding_size=8, channels=3}"
    run = tiny_run(options, "augment.name=photo")
    artifact = Artifact.load(
        fit(run, items=pictures, output=tmp_path / "a", tell=lambda line: None)
    )
    assert artifact.preprocess.input_shape == (3, 32, 16)
    assert load_run(tmp_path / "a.run" / "run.toml").encoder.options["size_pixels"] == [32, 16]
    embedded = embed_items(open_encoder(artifact), pictures.take(range(4)))
    assert embedded.embeddings.shape == (4, 8)
    with pytest.raises(ConfigError, match="turns pictures by quarters, which needs a square"):
        make_plan(tiny_run(options, "augment.rotations_as_classes=true"), pictures)


def test_crops_are_trained_on_and_the_artifact_says_how(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path
) -> None:
    told: list[str] = []
    out = fit(spot_run(), items=pictures, output=tmp_path / "a", tell=told.append)
    artifact = Artifact.load(out)
    assert artifact.detector == {"name": "spots", "size_pixels": 16, "least": 1}
    assert artifact.manifest.config["detector_choice"] == "only"
    assert load_run(tmp_path / "a.run" / "run.toml").detector.options["size_pixels"] == 16
    assert Spots.looked_at == 32  # and not at test items
    assert "cut out 32 of 32; kept in" in "\n".join(told)
    assert "detector       spots, the only one of a picture" in told
    # what comes fresh from the detector is recognized as what was trained on
    fresh = crops_of(Spots(size_pixels=16), pictures.where(lambda item: item.split is None))
    overlap = find_overlap(
        artifact.manifest, fresh.classes, [i.content_hash() for i in fresh.items]
    )
    assert len(overlap.items) == 32


@pytest.mark.usefixtures("no_export")
def test_no_picture_is_looked_at_twice(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path
) -> None:
    refused = with_sources(pictures, {3: picture(3, 0)})
    run = spot_run("data.on_unreadable=skip")
    told: list[list[str]] = [[], []]
    weights = []
    for i in range(2):
        out = fit(run, items=refused, output=tmp_path / f"{i}", tell=told[i].append)
        weights.append((out / "weights.safetensors").read_bytes())
    assert Spots.looked_at == 32
    assert weights[0] == weights[1]
    assert any("31 of 32; not used: 1 no_spot; kept in" in line for line in told[0])
    assert any("31 of 32, 32 of them known from before; not used: 1 no_spot" in t for t in told[1])


@pytest.mark.usefixtures("no_export")
def test_a_resumed_run_does_not_look_again(
    pictures: Items,
    spot_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = callbacks.Stopper.on_train_batch_end

    def asking(self: callbacks.Stopper, trainer: Any, module: Any, *rest: Any) -> None:
        if module.step == 2:
            self.ask()
        plain(self, trainer, module, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Stopper, "on_train_batch_end", asking)
        with pytest.raises(TrainingStopped):
            fit(spot_run(), items=pictures, output=tmp_path / "a")
    fit(spot_run(), items=pictures, output=tmp_path / "a", resume=True)
    assert Spots.looked_at == 32
    with pytest.raises(ConfigError, match=r"exists already"):
        fit(spot_run(), items=pictures, output=tmp_path / "a")


@pytest.mark.usefixtures("no_export")
def test_another_detector_is_no_resuming(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = callbacks.Stopper.on_train_batch_end

    def asking(self: callbacks.Stopper, *rest: Any) -> None:
        self.ask()
        plain(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Stopper, "on_train_batch_end", asking)
        with pytest.raises(TrainingStopped):
            fit(spot_run(), items=pictures, output=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"detector\.options\.least: the run was started with 1"):
        fit(
            spot_run("detector.options.least=2"), items=pictures, output=tmp_path / "a", resume=True
        )


def test_stopping_counts_and_names_what_cannot_be_used(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    bad = with_sources(
        pictures, {3: picture(3, 0), 4: picture(4, 2), 9: picture(9, 1, is_faint=True)}
    )
    bad = replace(bad, items=(*bad.items, Item(broken, "c0", "broken.jpg")))
    with pytest.raises(
        DataError,
        match=r"^4 of 33 pictures of here cannot be trained on: 3\.png \(no_spot: no spot was "
        r"found in the picture\); 4\.png \(several_spots: the picture shows 2 spots, .*\); "
        r"9\.png \(faint: the spot is faint\); broken\.jpg \(unreadable: .*\)\. Replace them, "
        r"take the largest spot with --set detector\.choice=largest, or train without them: --set "
        r"data\.on_unreadable=skip$",
    ):
        fit(spot_run(), items=bad, output=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert Spots.looked_at == 32  # all of them, so that the list is whole, and known the next time


def test_only_five_are_named(pictures: Items, spot_run: Callable[..., Run]) -> None:
    bad = with_sources(pictures, {i: picture(i, 0) for i in range(8)})
    with pytest.raises(
        DataError, match=r"^8 of 32 .*4\.png \([^;]*\); and 3 more\. Replace them, or"
    ):
        cut(spot_run(), bad)


def test_skipping_lists_what_is_left_out_once(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path
) -> None:
    bad = with_sources(pictures, {3: picture(3, 0), 9: picture(9, 1, is_faint=True)})
    told: list[str] = []
    run = spot_run("data.on_unreadable=skip", "schedule.steps=1")
    out = fit(run, items=bad, output=tmp_path / "a", tell=told.append)
    skipped = [line for line in told if line.startswith("skipped ")]
    assert skipped == [
        "skipped 3.png: no spot was found in the picture",
        "skipped 9.png: the spot is faint",
    ]
    assert len(Artifact.load(out).manifest.item_hashes) == 30


def test_of_several_the_largest_is_taken_where_that_is_said(
    pictures: Items, spot_run: Callable[..., Run]
) -> None:
    several = with_sources(pictures, {4: picture(4, 2)})
    (largest,) = cut(spot_run("detector.choice=largest"), several.take([4])).items
    assert largest.name == "4.png"
    detector = Spots(size_pixels=16)
    wanted = detector.crop(picture(4, 2), detector.detect(picture(4, 2))[1])
    assert np.array_equal(np.asarray(Image.open(largest.source)), wanted)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="several_spots"):  # known by the choice, too
        cut(spot_run(), several.take([4]))


def test_a_size_that_is_set_stays(spot_run: Callable[..., Run]) -> None:
    run, detector = make_detector(spot_run("detector.options.size_pixels=40"), 16)
    assert detector.settings["size_pixels"] == run.detector.options["size_pixels"] == 40
    assert make_detector(spot_run(), None)[1].settings["size_pixels"] == 24


def test_items_keep_what_else_is_known_of_them(
    pictures: Items, spot_run: Callable[..., Run]
) -> None:
    items = tuple(
        replace(item, group=f"g{i}", box=(0, 0, 30, 30)) for i, item in enumerate(pictures.items)
    )
    cropped = cut(spot_run(), replace(pictures, items=items))
    assert [(i.name, i.label, i.group) for i in cropped.items] == [
        (i.name, i.label, i.group) for i in items
    ]
    assert all(i.box is None for i in cropped.items[:32])
    assert cropped.items[32] is items[32]


def test_without_room_for_the_cache_crops_stay_in_memory(
    pictures: Items,
    spot_run: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = cut(spot_run(), pictures)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "file"))
    in_memory = cut(spot_run(), pictures)
    for one, other in zip(kept.items[:32], in_memory.items[:32], strict=True):
        assert isinstance(one.source, Path)
        assert isinstance(other.source, np.ndarray)
        assert (one.name, one.content_hash()) == (other.name, other.content_hash())


def test_what_could_not_be_read_may_be_repaired(
    pictures: Items, spot_run: Callable[..., Run], tmp_path: Path
) -> None:
    path = tmp_path / "late.png"
    items = Items((Item(path, "c0", "late.png"),))
    run = spot_run("data.on_unreadable=skip")
    assert [p.name for p in cut(run, items).problems] == ["late.png"]
    path.write_bytes(b"of a format that a newer Pillow may read")
    assert [p.name for p in cut(run, items).problems] == ["late.png"]
    assert not list((tmp_path / "cache").rglob("*.json"))
    Image.fromarray(picture(1)).save(path)
    assert len(cut(run, items)) == 1
    Image.fromarray(picture(1, 0)).save(path)  # other content is another picture
    assert not len(cut(run, items))


def test_a_crop_that_was_lost_is_cut_again(pictures: Items, spot_run: Callable[..., Run]) -> None:
    first = cut(spot_run(), pictures)
    source = first.items[5].source
    assert isinstance(source, Path)
    source.unlink()
    again = cut(spot_run(), pictures)
    assert Spots.looked_at == 33
    assert again.items[5].content_hash() == first.items[5].content_hash()
    assert source.is_file()


def test_what_pictures_are_like_is_asked_before_cutting(
    pictures: Items, spot_run: Callable[..., Run]
) -> None:
    """Small grey crops of a large grey photograph are no drawings."""
    grey = with_sources(
        pictures, {i: picture(i)[:, :, :1].repeat(3, 2) for i in range(len(pictures))}
    )
    asked: list[str] = []

    def cutting(run: Run, detector: Any, items: Items) -> Items:
        asked.append(run.encoder.name)
        return cut_out(run, detector, items, tell=lambda line: None)

    plan = make_plan(spot_run(), grey, cut=cutting)
    assert asked == ["small"]
    assert plan.run.augment.name == "photo"
    assert all(item.stated_hash for item in plan.split.training.items)


@pytest.mark.parametrize(("detector", "fraction"), [("spots", 1.0), ("whole_image", 0.95)])
def test_what_was_cut_out_is_seen_whole(
    pictures: Items, tiny_run: Callable[..., Run], detector: str, fraction: float
) -> None:
    options = "encoder.options={backbone='test_resnet', pretrained=false, size_pixels=32}"
    run = tiny_run("encoder.name=timm", options, f"detector.name={detector}")
    readable = pictures.where(lambda item: item.split is None)
    plan = make_plan(run, readable)
    assert plan.encoder.preprocess.crop_fraction == fraction
    assert plan.run.augment.name == "photo"
    if detector == "spots":
        assert plan.detector.settings["size_pixels"] == 32


def test_progress_reaches_the_end(pictures: Items, spot_run: Callable[..., Run]) -> None:
    seen: list[tuple[int, int]] = []
    run, detector = make_detector(spot_run(), 16)
    for _ in range(2):
        cut_out(run, detector, pictures, tell=lambda line: None, progress=lambda *s: seen.append(s))
    assert seen == [(i, 32) for i in range(1, 33)] * 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detector.options.size_pixel=3", r"detector\.options\.size_pixel: .*\.size_pixels\?"),
        ("detector.name=spot", r"detectors has no plugin named 'spot'"),
        ("detector.choice=all", r"detector\.choice: expected 'only' or 'largest', got 'all'"),
        ("detector.nam=x", r"detector\.nam: there is no such setting; did you mean detector\.name"),
    ],
)
def test_what_cannot_be_is_refused(
    pictures: Items, spot_run: Callable[..., Run], override: str, message: str
) -> None:
    with pytest.raises(Exception, match=message):
        make_plan(spot_run(override), pictures)


def test_arrays_have_nothing_to_look_at(spot_run: Callable[..., Run]) -> None:
    rows = Items.from_arrays(np.zeros((20, 6), np.float32), [f"c{i // 2}" for i in range(20)])
    encoder = ModuleEncoder(nn.Linear(6, 4), Preprocess(modality="array", shape=(6,)), 4)
    with pytest.raises(ConfigError, match=r"detector\.name: spots looks at pictures, and this enc"):
        make_plan(spot_run(), rows, encoder)


@pytest.mark.usefixtures("no_export")
def test_boxes_of_a_table_are_cut_out(
    pictures: Items, tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    boxed = tuple(
        replace(item, box=(0, 0, SIDE, SIDE) if i else None)
        for i, item in enumerate(pictures.items)
    )
    run = tiny_run("detector.name=boxes", "data.on_unreadable=skip")
    told: list[str] = []
    fit(run, items=replace(pictures, items=boxed), output=tmp_path / "a", tell=told.append)
    assert "skipped 0.png: no box was found in the picture" in told
    assert any("cut out 31 of 32; not used: 1 no_box" in line for line in told)
    assert (tmp_path / "cache" / "crops").is_dir()
