"""The report's pictures: thumbnails, the retrieval grid and the map of the embedding."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.evaluation.figures import Evaluation, Mistake
from ilk.evaluation.report.map_section import map_section
from ilk.evaluation.report.mistakes import mistake_grid, weakest_classes
from ilk.evaluation.report.pictures import data_uri, pixels, thumbnail
from ilk.evaluation.report.projection import (
    neighbor_map,
    poincare_map,
    poincare_radius,
    principal_axes,
)
from ilk.items import Item, Items


def decoded(uri: str) -> np.ndarray:
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    )


def shown(array: np.ndarray) -> np.ndarray:
    picture = pixels(Item(array, "a", "row 0"))
    assert picture is not None
    return picture


def clusters(num_classes: int, per_class: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(num_classes), per_class)
    return rng.normal(size=(num_classes, 16))[ids] * 3 + rng.normal(size=(len(ids), 16)) * 0.3, ids


def make_items(ids: np.ndarray) -> Items:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (12, 12, 3), dtype=np.uint8) for _ in ids]
    return Items.from_arrays(pictures, [f"c{i}" for i in ids])


@pytest.mark.parametrize("kind", ["drawing", "photograph"])
def test_a_data_uri_is_the_picture(kind: str) -> None:
    if kind == "drawing":
        picture = np.full((90, 60, 3), 255, np.uint8)
        picture[20:70, 25:35] = 0
    else:
        y, x = np.mgrid[:60, :90]
        waves = [np.sin(x / 9 + y / 5 + i) + np.cos(x * y / 400 + i) for i in range(3)]
        picture = (127 + 60 * np.stack(waves, 2)).astype(np.uint8)
    small = thumbnail(picture, 45)
    uri = data_uri(small)
    assert uri.startswith("data:image/png" if kind == "drawing" else "data:image/jpeg")
    assert small.size == (45, 45)
    assert np.abs(decoded(uri).astype(int) - np.asarray(small)).mean() < 6


def test_a_thumbnail_keeps_proportions_on_white() -> None:
    small = np.asarray(thumbnail(np.zeros((100, 50, 3), np.uint8), 40))
    assert (small[:, 10:30] == 0).all()
    assert (small[:, :10] == 255).all()


def test_arrays_that_are_no_pictures_show_their_values() -> None:
    stripes = shown(np.array([0.0, 1.0, 0.5]))
    assert stripes.shape == (3, 3, 3)
    assert stripes[0, :, 0].tolist() == [0, 255, 128]
    assert shown(np.array([[np.nan, 1.0], [np.inf, 2.0]])).shape == (2, 2, 3)
    assert shown(np.full((2, 4, 5), 7.0)).shape == (2, 4, 3)
    assert pixels(Item(np.zeros((2, 2, 2, 2)), "a", "n")) is None
    assert pixels(Item(np.zeros(0), "a", "n")) is None
    assert pixels(Item(np.array(["words"]), "a", "n")) is None


def test_the_grid_frames_right_and_wrong_and_names_the_rank() -> None:
    points = np.array([[0.0], [0.1], [0.2], [0.3], [5.0]])
    items = make_items(np.array([0, 1, 1, 0, 2]))
    mistakes = (
        Mistake(0, (1, 2), (0.1, 0.2)),
        Mistake(2, (1, 3), (0.1, 0.1)),
        Mistake(4, (3,), (4.7,)),
    )
    html = mistake_grid(Evaluation(figures=(), mistakes=mistakes), items, points, Euclidean())
    first, second, third = re.findall(r'<div class="tile query".*?</ol>', html)
    assert (first.count("tile wrong"), first.count("tile right")) == (2, 1)
    assert "rank 3</span> 0.300" in first
    assert (second.count("tile wrong"), second.count("tile right")) == (1, 1)
    assert "rank" not in second  # its mate is among the neighbours shown
    assert (third.count("tile wrong"), third.count("tile right")) == (1, 0)  # has no mate


def test_the_grid_stops_at_the_worst_few() -> None:
    items = make_items(np.arange(30) % 15)
    points = np.arange(30.0)[:, None]
    mistakes = tuple(
        Mistake(i, tuple(j for j in range(30) if j != i), (1.0,) * 29) for i in range(30)
    )
    html = mistake_grid(Evaluation(figures=(), mistakes=mistakes), items, points, Euclidean())
    assert html.count("tile query") == 8
    assert html.count("<img ") <= 8 * 8


def test_the_weakest_classes_come_first() -> None:
    items = make_items(np.array([0, 0, 1, 1, 2, 2, 3]))
    values = np.array([0.5, 0.7, 0.1, 0.3, 1.0, 1.0, np.nan])
    html = weakest_classes(Evaluation(figures=(), per_query={"map_at_r": values}), items, largest=2)
    assert re.findall(r"<bdi>(\w+)</bdi>", html) == ["c1", "c0"]
    assert re.findall(r">([\d.]+ %)<", html) == ["20.0 %", "60.0 %"]


def test_principal_axes_are_those_of_the_singular_values() -> None:
    x = np.random.default_rng(0).normal(size=(40, 6)) * [5, 1, 3, 0.1, 1, 1]
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    expected = (u * s)[:, :2]
    found = principal_axes(x)
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-9)
    assert principal_axes(x[::-1])[::-1] == pytest.approx(found, abs=1e-9)
    assert principal_axes(np.ones((3, 1))).tolist() == [[0, 0]] * 3
    assert principal_axes(np.zeros((0, 4))).shape == (0, 2)


@pytest.mark.parametrize("distance", [Cosine(), Euclidean()])
def test_neighbours_stay_neighbours_on_the_map(distance: Distance) -> None:
    embeddings, ids = clusters(40, 6)
    flat = neighbor_map(embeddings, distance)
    apart = Euclidean().pairwise(flat, flat)
    np.fill_diagonal(apart, np.inf)
    assert (ids[apart.argmin(1)] == ids).mean() > 0.98
    start = principal_axes(embeddings)
    lost = Euclidean().pairwise(start, start)
    np.fill_diagonal(lost, np.inf)
    assert (ids[lost.argmin(1)] == ids).mean() < 0.98  # two directions alone do not do it


def test_the_map_is_the_same_for_a_seed_and_finite_for_equal_points() -> None:
    embeddings, _ = clusters(4, 6)
    assert (neighbor_map(embeddings, Cosine()) == neighbor_map(embeddings, Cosine())).all()
    assert np.isfinite(neighbor_map(np.ones((9, 4)), Cosine())).all()
    assert np.isfinite(neighbor_map(np.zeros((9, 4)), Euclidean())).all()


def test_the_disc_shows_the_true_distance_from_the_origin() -> None:
    distance = Hyperbolic(curvature=0.7, max_radius=3.0)
    embeddings = np.random.default_rng(3).normal(size=(30, 5)) * 1.3
    lengths = distance.pairwise(embeddings, np.zeros((1, 5)))[:, 0]
    found = np.hypot(*poincare_map(embeddings, distance).T)
    assert found == pytest.approx([poincare_radius(t, distance) for t in lengths], abs=1e-9)
    assert found.max() < 1
    assert (poincare_map(np.zeros((2, 5)), distance) == 0).all()


def test_the_map_colours_the_most_frequent_classes() -> None:
    sizes = [1] * 16 + [3] * 8 + [9] * 2
    ids = np.repeat(np.arange(26), sizes)
    items = make_items(ids)
    html = map_section(items, np.random.default_rng(0).normal(size=(len(ids), 4)), Cosine())
    legend = re.findall(r"<bdi>(c\d+)</bdi>", html)
    assert len(legend) == 8
    assert set(legend[:2]) == {"c24", "c25"}
    assert not {f"c{i}" for i in range(16)} & set(legend)
    assert "18 further classes" in html
    assert html.count('class="rest"') + html.count('class="mark c') == len(ids) + 8


def test_the_map_of_many_items_says_how_many_it_shows() -> None:
    items = make_items(np.arange(1300) % 40)
    html = map_section(items, np.random.default_rng(0).normal(size=(1300, 4)), Hyperbolic())
    assert "1,000 of 1,300 items drawn" in html
    assert html.count("<image ") <= 70


def test_pictures_on_the_map_do_not_cover_each_other() -> None:
    embeddings, ids = clusters(10, 20)
    html = map_section(make_items(ids), embeddings, Cosine())
    corners = np.array(
        [
            [float(v) for v in pair]
            for pair in re.findall(r'<image [^>]* x="([\d.]+)" y="([\d.]+)"', html)
        ]
    )
    apart = np.abs(corners[:, None] - corners).max(2)
    np.fill_diagonal(apart, np.inf)
    assert len(corners) > 10
    assert apart.min() > 38
    assert (corners > 0).all()
    assert (corners < [960 - 38, 640 - 38]).all()
