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
