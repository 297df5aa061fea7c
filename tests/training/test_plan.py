from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from ilk.config import load_run
from ilk.data_rules import DataFacts, look_at
from ilk.encoders.module import ModuleEncoder
from ilk.errors import ConfigError, DataError, PluginError
from ilk.items import Items
from ilk.preprocess import Preprocess
from ilk.training.defaults import EncoderFacts, choose_encoder, resolve
from ilk.training.plan import make_plan

DRAWINGS = DataFacts(kind="drawing", num_items=8000, num_classes=400, median_class_size=20)
PHOTOS = DataFacts(kind="photo", num_items=6000, num_classes=100, median_class_size=59)
SCRATCH = EncoderFacts(is_pretrained=False, has_attention=False, has_batch_norm=True)
RESNET = EncoderFacts(is_pretrained=True, has_attention=False, has_batch_norm=True)
VIT = EncoderFacts(is_pretrained=True, has_attention=True, has_batch_norm=False)


def _resolved(*overrides: str, facts: DataFacts = PHOTOS, encoder: EncoderFacts = RESNET) -> Any:
    return resolve(load_run(overrides=overrides), facts, encoder)


@pytest.mark.parametrize(
    ("encoder", "backbone", "head", "class_weights"),
    [
        (RESNET, 1e-4, 1e-3, 1e-2),
        (VIT, 1e-5, 1e-4, 1e-3),
        (SCRATCH, 2e-3, 2e-3, 2e-2),
    ],
)
def test_learning_rates_follow_the_published_recipes(
    encoder: EncoderFacts, backbone: float, head: float, class_weights: float
) -> None:
    optimizer = _resolved(encoder=encoder).optimizer
    assert optimizer.backbone_learning_rate == pytest.approx(backbone)
    assert optimizer.learning_rate == pytest.approx(head)
    assert optimizer.class_weights_learning_rate == pytest.approx(class_weights)


def test_batch_norm_is_frozen_where_statistics_are_borrowed_and_data_is_scarce() -> None:
    assert _resolved().trainer.freeze_batch_norm is True
    assert _resolved(encoder=SCRATCH).trainer.freeze_batch_norm is False
    assert _resolved(encoder=VIT).trainer.freeze_batch_norm is False
    many = replace(PHOTOS, num_items=60_000)
    assert _resolved(facts=many).trainer.freeze_batch_norm is False
    assert _resolved("trainer.freeze_batch_norm=false").trainer.freeze_batch_norm is False


def test_the_head_starts_alone_only_beside_a_pretrained_backbone() -> None:
    assert _resolved().schedule.head_only_epochs == 1.0
    assert _resolved(encoder=SCRATCH).schedule.head_only_epochs == 0.0
    assert _resolved("trainer.mode=head").schedule.head_only_epochs == 0.0
    bare = replace(RESNET, has_head=False)
    assert _resolved(encoder=bare).schedule.head_only_epochs == 0.0
    short = _resolved("schedule.steps=10").schedule
    assert 0 < short.head_only_epochs * 47 <= 2.1


def test_batches_fit_the_data() -> None:
    batch = _resolved(facts=DRAWINGS, encoder=SCRATCH).batch
    assert (batch.classes, batch.items_per_class) == (32, 8)
    few = replace(PHOTOS, num_classes=5, median_class_size=3)
    assert (_resolved(facts=few).batch.classes, _resolved(facts=few).batch.items_per_class) == (
        5,
        3,
    )
    lone = replace(PHOTOS, median_class_size=1)
    assert _resolved(facts=lone).batch.items_per_class == 2


def test_epochs_are_counted_in_items() -> None:
    run = _resolved("schedule.epochs=2", "batch.classes=10", "batch.items_per_class=6")
    assert run.schedule.steps == 200
    assert run.schedule.epochs == 0


@pytest.mark.parametrize("mode", ["whole", "head"])
@pytest.mark.parametrize("encoder", [SCRATCH, RESNET, VIT])
@pytest.mark.parametrize("facts", [DRAWINGS, PHOTOS])
def test_nothing_is_left_open_and_resolving_again_changes_nothing(
    mode: str, encoder: EncoderFacts, facts: DataFacts
) -> None:
    run = choose_encoder(_resolved(f"trainer.mode={mode}", facts=facts, encoder=encoder), facts)
    assert "auto" not in str(run.as_dict())
    assert resolve(run, facts, encoder) == run


def test_what_was_set_stays() -> None:
    overrides = [
        "optimizer.learning_rate=0.5",
        "schedule.head_only_epochs=3.0",
        "schedule.validate_every=7",
        "batch.classes=3",
        "augment.name=none",
        "loss.options.margin=0.7",
        "trainer.precision=float16",
        "data.num_threads=0",
    ]
    run, wanted = _resolved(*overrides), load_run(overrides=overrides)
    assert run.optimizer.learning_rate == wanted.optimizer.learning_rate
    assert run.schedule.head_only_epochs == 3.0
    assert run.schedule.validate_every == 7
    assert run.batch.classes == 3
    assert run.augment.name == "none"
    assert run.loss.options == {"margin": 0.7}
    assert run.trainer.precision == "float16"
    assert run.data.num_threads == 0


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((30, 30), "drawing"), ((30, 30, 3), "photo"), ((300, 300), "photo"), ((30, 7, 9), "array")],
)
def test_drawings_photographs_and_arrays_are_told_apart(shape: tuple[int, ...], kind: str) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, *shape)).astype(np.uint8)
    assert look_at(Items.from_arrays(pictures, "aabbcc")).kind == kind


def test_what_a_detector_cut_out_stays_about_where_it_is() -> None:
    assert _resolved("detector.name=faces").augment.options == {"min_area": 0.8}
    assert _resolved("detector.name=faces", facts=DRAWINGS).augment.options == {}
    for own in ("augment.options.min_area=0.5", "augment.name=photo", "detector.name=whole_image"):
        options = _resolved("detector.name=faces", own).augment.options
        assert options == ({"min_area": 0.5} if "area" in own else {})


def test_a_backbone_by_name_means_timm() -> None:
    run = load_run(overrides=["encoder.options.backbone=resnet18"])
    assert choose_encoder(run, DRAWINGS).encoder.name == "timm"
    assert choose_encoder(load_run(), DRAWINGS).encoder.name == "small"
    assert choose_encoder(load_run(), PHOTOS).encoder.name == "timm"


def test_transformers_are_recognized_by_their_attention() -> None:
    from ilk.encoders.timm import TimmEncoder

    options: dict[str, Any] = {"pretrained": False, "size_pixels": 64}
    net = EncoderFacts.of(TimmEncoder(backbone="test_resnet", **options))
    transformer = EncoderFacts.of(TimmEncoder(backbone="test_vit", **options))
    assert (net.has_attention, net.has_batch_norm, net.is_pretrained) == (False, True, False)
    assert (transformer.has_attention, transformer.has_batch_norm) == (True, False)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("encoder.name=smal", PluginError, "did you mean 'small'"),
        ("loss.name=tripplet", PluginError, "did you mean 'triplet'"),
        ("distance.name=cosin", ConfigError, "distance: distance must be one of"),
        ("augment.name=drawin", ConfigError, "did you mean 'drawing'"),
        ("augment.options.sheer=1", ConfigError, r"augment\.options: .*no option 'sheer'"),
        ("loss.options.margn=1", ConfigError, r"loss\.options\.margn: .*loss\.options\.margin"),
        ("encoder.options.widht=1", ConfigError, r"encoder\.options\.widht: .*\.width"),
        ("batch.items_per_class=1", ConfigError, "triplet loss needs at least 2 items of a class"),
    ],
)
def test_what_cannot_be_is_refused(
    patterns: Items, tiny_run: Any, override: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_plan(tiny_run(override), patterns)


def test_a_head_that_cannot_learn_cannot_learn_alone(patterns: Items, tiny_run: Any) -> None:
    encoder = ModuleEncoder(nn.Flatten(), Preprocess(size_pixels=16, channels=1), 256)
    with pytest.raises(ConfigError, match=r"head_only_epochs: .*nothing to train; set it to 0"):
        make_plan(tiny_run("schedule.head_only_epochs=1.0"), patterns, encoder)


def test_too_few_classes_are_refused(patterns: Items, tiny_run: Any) -> None:
    with pytest.raises(DataError, match="has 3 such classes of 3; add classes or items"):
        make_plan(tiny_run(), patterns.of_classes(["c0", "c1", "c2"]))


@pytest.mark.parametrize(
    ("overrides", "facts", "encoder", "mode", "loss"),
    [
        ((), {"num_classes": 19}, RESNET, "head", "normalized_softmax"),
        ((), {"num_classes": 20}, RESNET, "whole", "triplet"),
        ((), {"num_classes": 12, "kind": "drawing"}, RESNET, "whole", "triplet"),
        ((), {"num_classes": 11, "kind": "drawing"}, RESNET, "head", "normalized_softmax"),
        (("trainer.mode=whole",), {"num_classes": 5}, RESNET, "whole", "triplet"),
        (("trainer.mode=head",), {}, RESNET, "head", "normalized_softmax"),
        (("trainer.mode=head", "loss.name=triplet"), {}, RESNET, "head", "triplet"),
        ((), {"num_classes": 5}, SCRATCH, "whole", "triplet"),
        ((), {"num_classes": 5}, replace(RESNET, has_head=False), "whole", "triplet"),
        (("augment.rotations_as_classes=true",), {"num_classes": 19}, RESNET, "whole", "triplet"),
        ((), {"num_classes": 5, "kind": "array"}, RESNET, "whole", "triplet"),
    ],
)
def test_few_classes_leave_the_backbone_as_it_is(
    overrides: tuple[str, ...],
    facts: dict[str, Any],
    encoder: EncoderFacts,
    mode: str,
    loss: str,
) -> None:
    run = _resolved(*overrides, facts=replace(PHOTOS, **facts), encoder=encoder)
    assert (run.trainer.mode, run.loss.name) == (mode, loss)
    assert run.schedule.patience == (3 if mode == "head" else 0)


def test_the_plan_says_why_the_backbone_stays(patterns: Items, tiny_run: Any) -> None:
    lines = "\n".join(make_plan(tiny_run("trainer.mode=auto"), patterns).lines())
    assert "8 training classes are too few to train a whole net on (fewer than 12)" in lines
    assert "trainer.mode=whole trains all" in lines
    assert "steps of the head alone" in lines
    assert "too few to train" not in "\n".join(make_plan(tiny_run(), patterns).lines())


def test_class_weights_count_rotations(patterns: Items, tiny_run: Any) -> None:
    run = tiny_run("loss.name=normalized_softmax", "augment.rotations_as_classes=true")
    loss: Any = make_plan(run, patterns).loss
    assert tuple(loss.class_weights.shape) == (8 * 4, 8)


def test_the_lines_say_what_happens(patterns: Items, tiny_run: Any) -> None:
    text = "\n".join(make_plan(tiny_run(), patterns).lines())
    for part in ("40 items of 8 classes", "10 items of 2 classes", "small", "untrained", "4 x 2"):
        assert part in text
    assert "8 steps" in text
    assert look_at(patterns).kind == "drawing"
