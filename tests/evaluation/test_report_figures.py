"""The figures on the report page: every one has words, and stands there as it was measured."""

from __future__ import annotations

import dataclasses
import html
import re

import numpy as np

from ilk.distances import Cosine
from ilk.evaluation import EvaluationSettings, evaluate
from ilk.evaluation.figures import Evaluation, Figure
from ilk.evaluation.report import render_report
from ilk.evaluation.report.wording import percent, words_for
from ilk.items import Items

IDS = np.repeat(np.arange(40), 12)


def told(evaluation: Evaluation, warning: str = "") -> str:
    """Return the words on the page of an evaluation of 40 classes of 12 items."""
    items = Items.from_arrays(np.full((480, 4, 4), 9, np.uint8), [f"c{i}" for i in IDS])
    page = render_report(
        evaluation,
        items=items,
        embeddings=np.random.default_rng(0).normal(size=(480, 4)),
        distance=Cosine(),
        warning=warning,
    )
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])).split())


def test_every_figure_of_an_evaluation_has_words_and_a_place_on_the_page() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(40, 16))[IDS] + 0.4 * rng.normal(size=(480, 16))
    settings = EvaluationSettings(num_bootstraps=50, fpir_targets=(0.1, 0.01))
    evaluation = evaluate(embeddings, [f"c{i}" for i in IDS], Cosine(), settings)
    text = told(evaluation)
    for figure in evaluation.figures:
        words = words_for(figure.name.removesuffix("_macro"))
        assert words.meaning, figure.name
        assert words.title in text
        if figure.value is not None:
            assert percent(figure.value) in text
    missed = evaluation.figure("fnir_at_fpir_0.1").value
    assert missed is not None
    assert f"{percent(1 - missed)} of known items are named correctly" in text
    assert "20 classes enrolled with 5 examples each" in text


def test_a_warning_stands_above_the_headline() -> None:
    figure = Figure("fnir_at_fpir_0.01", 0.25, 0.2, 0.3, 240, 20)
    text = told(Evaluation(figures=(figure,)), warning="training saw <3> of these")
    claim = "At a false-identification rate of 1 %, 75.0 % of known items"
    assert text.index("training saw <3> of these") < text.index(claim)
    assert "Warning" not in told(Evaluation(figures=(figure,)))


def test_a_mean_over_classes_is_told_where_it_differs() -> None:
    micro = Figure("map_at_r", 0.5, 0.4, 0.6, 24, 6)
    same = Figure("map_at_r_macro", 0.5, 0.4, 0.6, 24, 6)
    for macro, is_told in ((same, False), (dataclasses.replace(same, value=0.625), True)):
        text = told(Evaluation(figures=(micro, macro)))
        assert ("with every class counting alike" in text) == is_told
        assert ("62.5 % with every class counting alike (40.0 % to 60.0 %)" in text) == is_told
        assert "map at r macro" not in text


def test_the_headline_takes_the_rate_nearest_to_one_percent_that_was_measured() -> None:
    figures = (
        Figure("fnir_at_fpir_0.01", None, None, None, 50, 20, "not enough probes"),
        Figure("fnir_at_fpir_0.001", None, None, None, 50, 20, "not enough probes"),
        Figure("fnir_at_fpir_0.1", 0.2, None, None, 50, 20),
        Figure("fnir_at_fpir_0.2", 0.1, None, None, 50, 20),
    )
    text = told(Evaluation(figures=figures))
    assert "At a false-identification rate of 10 %, 80.0 % of known items" in text
    assert "about 10 given a name" in text


def luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb", as WCAG 2.2 defines it."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read_on_its_ground_in_light_and_dark() -> None:
    page = render_report(
        Evaluation(figures=()),
        items=Items(()),
        embeddings=np.zeros((0, 2)),
        distance=Cosine(),
    )
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6});", t)) for t in re.findall(r":root {[^}]*}", page)
    ]
    assert len(themes) >= 2
    for theme in themes[:2]:
        for ground in ("paper", "card"):
            for text in ("ink", "soft", "near", "far", "right", "wrong", "accent"):
                low, high = sorted([luminance(theme[text]), luminance(theme[ground])])
                assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
