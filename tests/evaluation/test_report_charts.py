"""The pieces of the report: axes, charts, words and Markdown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.check import check_items
from ilk.evaluation.report.axes import Axis, deviate_axis, linear_axis, log_axis, share_axis
from ilk.evaluation.report.charts import (
    bar_chart,
    det_chart,
    dir_chart,
    dots_chart,
    histogram_chart,
    whisker,
)
from ilk.evaluation.report.check_section import check_section
from ilk.evaluation.report.markdown import markdown_to_html
from ilk.evaluation.report.wording import percent, shortened, words_for
from ilk.items import Items

AXES = [
    share_axis("share"),
    log_axis("rate", 0.003, 1.0),
    deviate_axis("rate", 0.001, 0.6),
    linear_axis("distance", [-3.0, 17.0]),
]


def attributes(svg: str, kind: str, name: str) -> list[str]:
    """Return attribute `name` of every element whose class is `kind`."""
    return [e.attrib[name] for e in ET.fromstring(svg).iter() if e.get("class") == kind]


def points(svg: str, kind: str) -> np.ndarray:
    (path,) = attributes(svg, kind, "d")
    return np.array([[float(v) for v in pair.split()] for pair in path[1:].split("L")])


@pytest.mark.parametrize("axis", AXES, ids=lambda a: a.label)
@given(values=st.lists(st.floats(-20, 20), min_size=2, max_size=2))
@settings(deadline=None, max_examples=50)
def test_an_axis_keeps_order_and_stays_on_the_page(axis: Axis, values: list[float]) -> None:
    low, high = sorted(values)
    assert 0 <= axis.place(low) <= axis.place(high) <= 1
    assert (axis.place(axis.low), axis.place(axis.high)) == (0, 1)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
@settings(deadline=None)
def test_a_linear_axis_holds_its_values_with_few_round_ticks(values: list[float]) -> None:
    axis = linear_axis("x", values)
    hair = 1e-6 * (axis.high - axis.low)
    assert axis.low - hair <= min(values) <= max(values) <= axis.high + hair
    assert 2 <= len(axis.ticks) <= 9
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_a_linear_axis_without_values_is_still_one() -> None:
    assert linear_axis("x", [float("nan"), float("inf")]).ticks
    axis = linear_axis("x", [3.0, 3.0])
    assert axis.low < 3 < axis.high


def test_the_det_curve_of_two_normals_is_a_straight_line() -> None:
    limits = np.linspace(0.2, 2.2, 90)
    fmr = np.array([NormalDist(2.4, 0.5).cdf(t) for t in limits])
    fnmr = np.array([1 - NormalDist(0.6, 0.5).cdf(t) for t in limits])
    line = points(det_chart(fmr, fnmr, None), "curve")
    assert len(line) > 30
    slope, offset = np.polyfit(line[:, 0], line[:, 1], 1)
    assert np.abs(line[:, 1] - (slope * line[:, 0] + offset)).max() < 0.5


def test_the_dir_curve_lies_where_its_rates_say() -> None:
    fpir = np.array([0.0, 0.01, 0.1, 1.0])
    tpir = np.array([0.25, 0.5, 0.75, 1.0])
    line = points(dir_chart(fpir, tpir, (0.1, 0.75), 5), "curve")
    steps = np.diff(line[-3:, 0])
    assert steps[0] == pytest.approx(steps[1], abs=0.3)  # a decade each
    assert np.diff(line[:, 1]) == pytest.approx(np.full(3, line[1, 1] - line[0, 1]), abs=0.3)
    svg = dir_chart(fpir, tpir, (0.1, 0.75), 5)
    (cx,), (cy,) = attributes(svg, "point", "cx"), attributes(svg, "point", "cy")
    assert [float(cx), float(cy)] == pytest.approx(line[2].tolist(), abs=0.2)


def test_rates_of_no_strangers_at_all_are_drawn_at_the_left_end() -> None:
    line = points(dir_chart(np.zeros(3), np.array([0.1, 0.4, 0.6]), None, 2), "curve")
    assert len(line) == 1


def test_histograms_hold_every_distance_once() -> None:
    rng = np.random.default_rng(0)
    near, far = rng.normal(0.4, 0.1, 500).clip(0), rng.normal(0.9, 0.1, 300)
    svg = histogram_chart(("a", near), ("b", far), 0.6, title="t")
    for kind in ("hill near", "hill far"):
        outline = points(svg.replace("Z", ""), kind)
        widths = np.diff(outline[:, 0])
        heights = outline[0, 1] - outline[:-1, 1]
        unit = (outline[0, 1] - 14) / float(attributes_top(svg))
        bin_width = widths[widths > 1].mean()
        assert (widths * heights).sum() / bin_width / unit == pytest.approx(1, abs=0.02)
    (x,) = attributes(svg, "limit", "x1")
    edge = max(float(v) for v in attributes(svg, "grid", "x2"))
    assert 66 < float(x) < edge


def attributes_top(svg: str) -> float:
    """Return the share at the highest tick of the vertical axis, which is its upper end."""
    ticks = [e.text or "" for e in ET.fromstring(svg).iter() if e.get("text-anchor") == "end"]
    return max(float(t.split()[0]) for t in ticks if t.endswith("%")) / 100


def test_charts_of_nothing_are_drawn() -> None:
    nothing = np.zeros(0)
    for svg in (
        det_chart(nothing, nothing, None),
        dir_chart(nothing, nothing, None, 0),
        histogram_chart(("a", nothing), ("b", nothing), None, title="t"),
        bar_chart([], [], title="t", label="l"),
    ):
        assert ET.fromstring(svg).attrib["role"] == "img"


def test_a_whisker_shows_value_and_interval_to_scale() -> None:
    svg = whisker(0.5, 0.25, 1.2)
    (cx,) = attributes(svg, "value", "cx")
    (d,) = attributes(svg, "interval", "d")
    numbers = [float(v) for v in re.findall(r"[\d.]+", d)[:1] + re.findall(r"H([\d.]+)", d)]
    assert float(cx) == pytest.approx(120)
    assert numbers == pytest.approx([60, 240])
    assert not attributes(whisker(0.5, None, None), "interval", "d")


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.873, 87), (1.0, 100)])
def test_dots_are_filled_by_the_hundred(share: float, filled: int) -> None:
    svg = dots_chart(share, "near", "a < b")
    assert len(attributes(svg, "dot near", "cx")) == filled
    assert len(attributes(svg, "dot empty", "cx")) == 100 - filled


@given(share=st.floats(0, 1))
@settings(deadline=None)
def test_a_percentage_is_close_and_never_pretends_certainty(share: float) -> None:
    told = percent(share)
    if 0 < share < 1:
        assert told not in ("0 %", "100 %", "0.00 %", "100.00 %")
    assert float(told.strip("<> %")) / 100 == pytest.approx(share, abs=0.0006)


@given(words=st.text(max_size=300), length=st.integers(1, 80))
@settings(deadline=None)
def test_shortened_words_are_one_short_line(words: str, length: int) -> None:
    line = shortened(words, length)
    assert len(line) <= length
    assert "\n" not in line
    flat = " ".join(words.split())
    assert line == flat or (line.endswith("…") and flat.startswith(line[:-1]))


def test_known_figures_have_words() -> None:
    for name in ("fnir_at_fpir_0.001", "map_at_r", "recall_at_1", "recall_at_10", "eer", "auroc"):
        words = words_for(name)
        assert words.meaning
        assert "{" not in words.title + words.meaning
    assert words_for("fnir_at_fpir_0.001").title == "FNIR at FPIR 0.1 %"


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen |= {tag} | {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


MARKS = st.sampled_from(
    ["*", "**", "`", "```\n", "|", "\n|---|\n", "# ", "- ", "[", "](", ")", "\\"]
)
TAGS = st.sampled_from(["<script>", "<b onclick=x>", "</p>", "&lt;", "\n\n", "\n", "word", " "])


@given(parts=st.lists(st.one_of(MARKS, TAGS, st.text(max_size=5)), max_size=40))
@settings(deadline=None, max_examples=200)
def test_markdown_becomes_safe_balanced_html_whatever_it_holds(parts: list[str]) -> None:
    tags = Tags(markdown_to_html("".join(parts), top_level=3))
    assert tags.open == []
    allowed = set(
        re.findall(r"\w+", "h3 h4 h5 h6 p em strong code pre ul li div table thead tbody tr th td")
    )
    assert tags.seen <= allowed | {"class", "scope"}


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("a\nb", "<p>a b</p>"),
        ("- one\n  more\n- two", "<ul><li>one more</li><li>two</li></ul>"),
        ("**bold** and *it*", "<p><strong>bold</strong> and <em>it</em></p>"),
        ("`a*b*<`", "<p><code>a*b*&lt;</code></p>"),
        (r"\*no\* \<b\>", "<p>*no* &lt;b&gt;</p>"),
        ("[words](http://x.example)", "<p>words (http://x.example)</p>"),
        ("```sh\na  <b\n\nc\n```", "<pre><code>a  &lt;b\n\nc</code></pre>"),
        ("a ** b", "<p>a ** b</p>"),
    ],
)
def test_markdown_reads_as_markdown(markdown: str, html: str) -> None:
    assert markdown_to_html(markdown) == html


def test_a_markdown_table_has_headers() -> None:
    html = markdown_to_html("| a | b |\n| --- | --- |\n| 1 \\| 2 | 3 |\nafter")
    assert '<th scope="col">a</th><th scope="col">b</th>' in html
    assert '<tr><th scope="row">1 | 2</th><td>3</td></tr>' in html
    assert html.endswith("<p>after</p>")


def found(sizes: dict[str, int], duplicates: int = 0) -> dict[str, object]:
    """Return what `ilk check` finds in pictures of noise with these class sizes."""
    rng = np.random.default_rng(0)
    labels = [label for label, size in sizes.items() for _ in range(size)]
    pictures = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in labels]
    pictures[len(pictures) - duplicates :] = pictures[:duplicates]
    return check_items(Items.from_arrays(pictures, labels)).to_json()


def test_the_check_is_told_with_its_numbers() -> None:
    sizes = {"a": 1, "b": 2, "c": 2, "e": 2, "d<": 7}
    html = check_section(found(sizes, duplicates=2))
    for name, value in (
        ("items", "14"),
        ("classes", "5"),
        ("classes of one item", "1"),
        ("groups of duplicates", "2"),
        ("smallest, largest class", "1, 7"),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html
    assert "equal files, in more than one class" in html
    assert "d&lt;" in html
    assert "per batch. Photographs, the median class" in html
    bars = attributes(re.findall(r"<svg.*</svg>", html)[0], "hill near", "height")
    assert [float(height) > 0 for height in bars] == [True, True, *[False] * (len(bars) - 3), True]


def test_a_check_of_nothing_is_told() -> None:
    html = check_section(check_items(Items(())).to_json())
    assert "<dt>items</dt><dd>0</dd>" in html
    assert "svg" not in html
    assert "per batch" not in html
