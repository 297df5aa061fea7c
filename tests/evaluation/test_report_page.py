"""The report page: complete in itself, true to its evaluation, unharmed by hostile text."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ilk.check import check_items
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput
from ilk.evaluation.figures import Curve, Evaluation, Figure, Mistake, OpenSetTrial
from ilk.evaluation.report import render_report, write_report
from ilk.evaluation.report.wording import percent
from ilk.items import Item, Items, Problem
from ilk.thresholds import Threshold

VOID = {"meta", "img", "br", "hr", "input", "link"}
HOSTILE = [
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</title></svg><iframe src=//evil.example>",
    "&lt;b&gt; {{x}} ]]> -->",
    "한국어 日本語 ไทย עברית العربية 👩‍🔬",
    "\u202eright to left\u202c\x00\x07\ud800",
    "a/b c\nd\te " + "x" * 5000,
]


class Page(HTMLParser):
    """Reads a page and keeps what the tests ask about."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_items(labels: list[str], size: int = 20) -> Items:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (size, size, 3), dtype=np.uint8) for _ in labels]
    return Items.from_arrays(pictures, labels)


def make_evaluation(items: Items, embeddings: np.ndarray, distance: Distance) -> Evaluation:
    n = len(items)
    distances = distance.pairwise(embeddings, embeddings)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1)[:, : min(5, n - 1)]
    mistakes = tuple(
        Mistake(i, tuple(map(int, order[i])), tuple(float(distances[i, j]) for j in order[i]))
        for i in range(min(3, n))
    )
    rates = np.linspace(0, 1, 40)
    half = np.arange(n) % 2 == 0
    return Evaluation(
        figures=(
            Figure("recall_at_1", 0.8125, 0.75, 0.875, n, 6),
            Figure("map_at_r", 0.4567, 0.41, 0.51, n, 6),
            Figure("fnir_at_fpir_0.01", 0.127, 0.098, 0.161, 321, 23),
            Figure("fnir_at_fpir_0.001", None, None, None, 321, 23, "needs 999 probes, got 321"),
            Figure("eer", 0.034, None, None, 4321, 6),
            Figure("made_up_figure", 0.25, 0.2, 0.3, 7, 3),
        ),
        curves={
            "dir": Curve("dir", rates, np.sqrt(rates), "FPIR", "TPIR"),
            "det": Curve("det", rates, 1 - np.sqrt(rates), "FMR", "FNMR"),
        },
        genuine=np.linspace(0, 0.5, 50),
        impostor=np.linspace(0.3, 1.2, 70),
        per_query={"map_at_r": np.linspace(0, 1, n)},
        mistakes=mistakes,
        threshold=Threshold(
            value=0.321,
            distance=distance.settings,
            target_fpir=0.01,
            num_trials=321,
            basis="strangers",
            gallery_size=17,
        ),
        open_set=OpenSetTrial(
            np.arange(n),
            half,
            items.class_ids,
            np.linspace(0, 1, n),
            items.class_ids,
            half.astype(float),
            np.where(half, -1, 0),
        ),
        counts={"items": n, "lone_queries": 0},
        settings={"num_exemplars": 5, "seed": 3, "<odd>": "&"},
        classes=items.classes,
        class_ids=items.class_ids,
    )


def render(items: Items, *, distance: Distance | None = None, **options: Any) -> str:
    distance = distance or Cosine()
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(len(items), 8)) + 3 * np.eye(8)[items.class_ids % 8]
    evaluation = options.pop("evaluation", None) or make_evaluation(items, embeddings, distance)
    return render_report(
        evaluation, items=items, embeddings=embeddings, distance=distance, **options
    )


SIX = [f"class {i // 4}" for i in range(24)]


def test_a_page_loads_nothing() -> None:
    items = make_items(SIX)
    html = render(items, card="# Card\n[a](http://x.example) ![b](http://x.example/b.png)")
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert value.startswith(("data:image/", "#")), (tag, name, value[:60])
        elif name != "content":
            assert "url(" not in value
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    assert "default-src 'none'" in html


@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic()])
def test_a_page_is_well_formed_and_opens_with_the_headline(distance: Distance) -> None:
    page = Page(render(make_items(SIX), distance=distance, title="A & B on C"))
    assert page.open == []
    assert page.text.startswith("A & B on C A & B on C At a false-identification rate of 1 %, ")
    assert "87.3 % of known items are named correctly." in page.text
    assert "95 % interval 83.9 % to 90.2 %. 17 classes enrolled with 5 examples each" in page.text


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    page = Page(render(make_items(SIX)))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [
        v.removeprefix("#") for tag, name, v in page.attributes if (tag, name) == ("a", "href")
    ]
    assert links
    assert set(links) <= set(ids)


def test_every_picture_has_words() -> None:
    html = render(make_items(SIX))
    pictures = re.findall(r"<img [^>]*>", html)
    assert pictures
    assert all(re.search(r' alt="[^"]+"', picture) for picture in pictures)
    for svg in re.findall(r"<svg [^>]*>(?:<title>[^<]+)?", html):
        assert "<title>" in svg or 'aria-hidden="true"' in svg


def test_the_table_prints_the_numbers_of_the_evaluation() -> None:
    items = make_items(SIX)
    embeddings = np.eye(24)
    evaluation = make_evaluation(items, embeddings, Cosine())
    text = Page(render(items, evaluation=evaluation)).text
    for figure in evaluation.figures:
        if figure.value is None:
            assert figure.note in text
            assert "not measured" in text
            continue
        assert percent(figure.value) in text
        assert f"{figure.num_trials:,} {figure.num_classes:,}" in text
        if figure.low is not None and figure.high is not None:
            assert f"{percent(figure.low)} to {percent(figure.high)}" in text
    assert "made up figure" in text
    assert "threshold 0.321" in text


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    items = make_items(SIX)
    embeddings = np.random.default_rng(2).normal(size=(24, 8))
    evaluation = make_evaluation(items, embeddings, Cosine())
    for name in ("a", "b"):
        write_report(
            tmp_path / "new" / name,
            evaluation,
            items=items,
            embeddings=embeddings,
            distance=Cosine(),
            check=check_items(items),
        )
    assert (tmp_path / "new/a").read_bytes() == (tmp_path / "new/b").read_bytes()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b"]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    items = make_items([label for label in HOSTILE for _ in range(3)])
    items = dataclasses.replace(
        items,
        items=tuple(dataclasses.replace(item, name=item.label) for item in items.items),
        problems=tuple(Problem(label, label) for label in HOSTILE),
    )
    evaluation = make_evaluation(items, np.eye(len(items)), Cosine())
    odd = dataclasses.replace(evaluation.figures[0], name="<i>", note=HOSTILE[0])
    evaluation = dataclasses.replace(
        evaluation,
        figures=(*evaluation.figures, odd),
        counts={HOSTILE[0]: 1},
        settings={HOSTILE[2]: HOSTILE[0]},
    )
    card = "\n\n".join(
        f"# {h}\n\n{h}\n\n- {h}\n\n| {h} | b |\n|---|---|\n| `{h}` | **{h}** |" for h in HOSTILE
    )
    html = render(
        items, evaluation=evaluation, title=HOSTILE[0], card=card, check=check_items(items)
    )
    page = Page(html)
    assert page.open == []
    assert not {"script", "iframe", "b-"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE[0] in page.text
    assert "한국어 日本語 ไทย עברית العربية 👩‍🔬" in page.text
    assert "x" * 2000 not in html.partition('id="card"')[0]
    assert not re.search("[\x00\x07\ud800]", html)


@pytest.mark.parametrize("num_items", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("distance", [Cosine(), Hyperbolic()])
def test_an_evaluation_of_almost_nothing_still_makes_a_page(
    num_items: int, distance: Distance
) -> None:
    items = make_items(["only"] * num_items)
    reason = Figure("fnir_at_fpir_0.01", None, None, None, 0, 1, "needs two further classes")
    page = Page(render(items, evaluation=Evaluation(figures=(reason,)), distance=distance))
    assert page.open == []
    assert "No open-set figure: needs two further classes." in page.text
    assert "carries no headline figure" in page.text


def test_without_open_set_the_headline_is_retrieval() -> None:
    figures = (Figure("recall_at_1", 0.8125, 0.75, 0.875, 24, 6),)
    text = Page(render(make_items(SIX), evaluation=Evaluation(figures=figures))).text
    assert "The closest other item is of the same class for 81.2 % of 24 items." in text
    assert "No query has a neighbour of another class" in text


def test_equal_embeddings_and_one_dimension_are_drawn() -> None:
    items = make_items(SIX)
    for embeddings in (np.zeros((24, 8)), np.ones((24, 1)), np.arange(24.0)[:, None]):
        evaluation = make_evaluation(items, embeddings, Euclidean())
        html = render_report(evaluation, items=items, embeddings=embeddings, distance=Euclidean())
        assert "nan" not in re.sub(r"base64,[^\"]*", "", html.partition("<body>")[2])


def test_an_item_that_cannot_be_seen_is_said_to_be(tmp_path: Path) -> None:
    items = make_items(SIX)
    gone = Item(tmp_path / "gone.png", "class 0", "gone.png")
    items = dataclasses.replace(items, items=(gone, *items.items[1:]))
    assert "no picture" in Page(render(items)).text


def test_a_page_of_noise_stays_below_its_bound() -> None:
    items = make_items([f"class {i % 300} " + "long " * 40 for i in range(1500)], size=150)
    assert len(render(items, check=check_items(items)).encode()) < 8e6


def test_embeddings_of_other_items_are_refused() -> None:
    items = make_items(SIX)
    with pytest.raises(InvalidInput, match=r"one embedding per item.*\(23, 8\) for 24"):
        render_report(
            Evaluation(figures=()), items=items, embeddings=np.ones((23, 8)), distance=Cosine()
        )
