"""The card: every fact is on it, none of them can break it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ilk.card import CardFacts, render_card
from ilk.evaluation.report.markdown import markdown_to_html

FACTS = CardFacts(
    name="quiet-heron",
    encoder="timm resnet18",
    embedding_size=96,
    num_classes=713,
    num_items=14260,
    distance={"name": "hyperbolic", "curvature": 0.25},
    preprocess={"size_pixels": 48, "mean": [0.5, 0.25]},
    loss={"name": "triplet", "margin": 0.2},
    recipe={"optimizer": {"head_rate": 0.002}, "num_steps": 1201},
    figures=[
        {
            "name": "map_at_r",
            "value": 0.7345,
            "low": 0.7123,
            "high": 0.7567,
            "num_trials": 2040,
            "num_classes": 102,
            "note": "",
        },
        {
            "name": "fnir_at_fpir_0.001",
            "value": None,
            "low": None,
            "high": None,
            "num_trials": 0,
            "num_classes": 102,
            "note": "needs 999 probes",
        },
    ],
    source="Omniglot background",
    num_validation_classes=102,
    num_validation_items=2040,
    num_parameters=250123,
    pretrained_on="ImageNet-1k",
    weights_licence="Apache-2.0",
    parity=3.2e-6,
    seed=17,
    duration_seconds=571,
    hardware="2 CPU cores",
    versions={"torch": "2.9.1", "ilk": "0.1.0"},
    fingerprint="ab12cd34ef",
    created="2026-11-23",
    limits=["Drawn with a mouse."],
)


def test_every_fact_is_on_the_card() -> None:
    card = render_card(FACTS)
    for fact in (
        "# quiet-heron",
        "timm resnet18",
        "96 numbers",
        "713 classes (14,260 items) of Omniglot background",
        "`curvature=0.25`",
        "`size_pixels=48`",
        "`mean=0.5 0.25`",
        "`margin=0.2`",
        "| `optimizer.head_rate` | `0.002` |",
        "| `num_steps` | `1201` |",
        "| `seed` | `17` |",
        "| `map_at_r` | 73.5 % | 71.2 % to 75.7 % | 2,040 | 102 |",
        "not measured",
        "needs 999 probes",
        "102 classes (2,040 items) held out",
        "250,123",
        "learned from ImageNet-1k",
        "Apache-2.0",
        "3.2e-06",
        "10 min on 2 CPU cores",
        "| torch | 2.9.1 |",
        "`ab12cd34ef`",
        "2026-11-23",
        "- Drawn with a mouse.",
    ):
        assert fact in card, fact


@pytest.mark.parametrize(
    "sentence",
    ["does not check liveness", "kept as hashes", "not a probability", "ilk evaluate", "FPIR"],
)
def test_the_card_says_how_to_use_it_and_what_it_cannot_do(sentence: str) -> None:
    assert sentence in render_card(FACTS)


def test_from_scratch_is_said_plainly() -> None:
    card = render_card(replace(FACTS, pretrained_on="", weights_licence=""))
    assert "began from scratch, without pretrained weights" in card
    assert "none: from scratch" in card


IMPORTED = replace(
    FACTS,
    encoder="onnx",
    num_classes=0,
    num_items=0,
    loss={},
    seed=None,
    parity=None,
    duration_seconds=None,
    imported_from="w600k.onnx",
    detector={"name": "faces", "size_pixels": 112},
    pretrained_on="faces found on the net",
    weights_licence="MIT",
    source="a drawer of photographs",
)


def test_an_imported_network_is_not_said_to_have_learned_here() -> None:
    card = render_card(IMPORTED)
    for fact in (
        "was trained elsewhere and imported, and is meant for classes",
        "| Imported from | w600k.onnx |",
        "There it learned from faces found on the net.",
        "| Licence of the weights | MIT |",
        "| Detector | faces, `size_pixels=112` |",
        "On 102 classes (2,040 items) of a drawer of photographs, which are also the calibration",
        "is not recorded here",
        "crops_of(open_detector(artifact.detector), ",
        "## Import",
    ):
        assert fact in card, fact
    for wrong in ("0 class", "began", "It learned from", "| Loss", "epoch", "initial", "refused"):
        assert wrong not in card, wrong


def test_what_nobody_said_of_an_imported_network_is_not_made_up() -> None:
    card = render_card(replace(IMPORTED, pretrained_on="", weights_licence=""))
    assert "What it learned from is not stated." in card
    assert "| Licence of the weights | not stated; ask" in card


def test_without_a_cohort_the_card_says_how_to_calibrate() -> None:
    card = render_card(
        replace(IMPORTED, figures=(), num_validation_classes=0, num_validation_items=0)
    )
    assert "no calibration cohort" in card
    assert "--strangers" in card
    assert "## Validation" not in card
    assert "with\nthe calibration cohort" in render_card(IMPORTED)


def test_a_card_of_the_least_facts_has_no_empty_sections() -> None:
    least = CardFacts(
        name="x",
        encoder="small",
        embedding_size=8,
        num_classes=1,
        num_items=1,
        distance={"name": "cosine"},
        preprocess={},
        loss={},
    )
    card = render_card(least)
    assert "learned from 1 class (1 item) and" in card
    assert re.findall(r"^## (.*)", card, re.M) == ["Use", "Limits"]
    assert "None" not in card


def test_the_order_of_facts_does_not_matter() -> None:
    turned = replace(
        FACTS,
        recipe=dict([*FACTS.recipe.items()][::-1]),
        versions=dict([*FACTS.versions.items()][::-1]),
    )
    assert render_card(turned) == render_card(FACTS)


def test_the_python_of_the_card_names_what_exists() -> None:
    from ilk import artifact, datasets, embedding
    from ilk.encoders import onnx

    code = render_card(FACTS).partition("```python\n")[2].partition("```")[0]
    compile(code, "card", "exec")
    homes: dict[str, Any] = {
        "ilk.artifact": artifact,
        "ilk.datasets": datasets,
        "ilk.embedding": embedding,
        "ilk.encoders.onnx": onnx,
    }
    imports = re.findall(r"from (\S+) import (\S+)", code)
    assert {home for home, _ in imports} == set(homes)
    for home, name in imports:
        assert hasattr(homes[home], name)


HOSTILE = 'a|b\n# c `d` [e](http://x) <script>*f*</script> \\ " ```'


def test_hostile_facts_stay_in_their_place() -> None:
    hostile = replace(
        FACTS,
        name=HOSTILE,
        encoder=HOSTILE,
        source=HOSTILE,
        recipe={HOSTILE: HOSTILE},
        loss={"name": HOSTILE, HOSTILE: HOSTILE},
        figures=[{"name": HOSTILE, "value": 0.5, "note": HOSTILE}],
        limits=[HOSTILE],
        versions={HOSTILE: HOSTILE},
        weights_licence=HOSTILE,
        pretrained_on=HOSTILE,
    )
    card, plain = render_card(hostile), render_card(FACTS)
    assert re.findall(r"^#+ ", card, re.M) == re.findall(r"^#+ ", plain, re.M)
    widths = [line.replace("\\|", "").count("|") for line in card.splitlines() if line[:1] == "|"]
    assert set(widths) <= {3, 7}
    html = markdown_to_html(card)
    assert "<script" not in html
    assert "<a " not in html
    assert html.count("<pre>") == 3
    code = card.partition("```python\n")[2].partition("\n```")[0]
    compile(code, "card", "exec")
