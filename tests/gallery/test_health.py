"""Health: what is wrong with a gallery is found, and nothing else; geometry with known answers."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gallery.conftest import MakeGallery

from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import InvalidInput
from ilk.gallery import Gallery, commands
from ilk.gallery.menagerie import stand_out
from ilk.gallery.neighborhood import exemplars_of, look_around

NUMBERS = itertools.count()
Placed = Mapping[str, Sequence[float]]


def fill(gallery: Gallery, placed: Placed) -> dict[str, list[int]]:
    """Enroll exemplars on a line; return their ids by label."""
    labels = [label for label, places in placed.items() for _ in places]
    points = np.array([[x, 0.0] for places in placed.values() for x in places])
    hashes = [f"{label} {i}" for i, label in enumerate(labels)]
    answers = gallery.enroll(labels, points, content_hashes=hashes, guard="off")
    ids: dict[str, list[int]] = {label: [] for label in placed}
    for answer in answers:
        assert answer.exemplar_id is not None
        ids[answer.label].append(answer.exemplar_id)
    return ids


def set_threshold(gallery: Gallery, value: float, above: float | None = None) -> None:
    """Calibrate on strangers above a place on the line, the closest of which is at `value`."""
    with gallery.access.reading() as reader:
        first = float(reader.embeddings([gallery.exemplars()[0].id])[0, 0])
    x = first if above is None else above
    strangers = np.stack([np.full(99, x), value + np.arange(99.0)], axis=1)
    assert gallery.calibrate(0.01, strangers=strangers).value == pytest.approx(value)


def test_classes_that_collide_are_told_closest_first(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(
        gallery, {"a": [0, 1, 2], "b": [2.5, 3.5], "far": [50, 51, 52], "c": [52.75, 53.5, 54.5]}
    )
    set_threshold(gallery, 1.25)
    found = gallery.health().of("collision")
    assert [f.labels for f in found] == [("a", "b"), ("far", "c")]
    assert [f.distance for f in found] == [0.5, 0.75]
    assert [set(f.exemplars) for f in found] == [
        {ids["a"][2], ids["b"][0]},
        {ids["far"][2], ids["c"][0]},
    ]
    # each is closer to its own than to the other
    assert found[0].command == f"ilk gallery show {gallery.access.location} b"


def test_the_command_does_what_it_says(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"a": [0, 1, 2, 3, 4, 5], "a b": [0.5, 1.5, 2.5, 3.5, 4.5]})
    set_threshold(gallery, 1.25)
    (found,) = gallery.health().of("collision")
    label, into = shlex.split(found.command)[-2:]
    gallery.merge(label, into)
    assert not gallery.health().of("collision")


def test_a_hair_within_the_threshold_collides_and_a_hair_beyond_does_not(
    make_gallery: MakeGallery,
) -> None:
    gallery = make_gallery(strangers=False)
    inside = float(np.nextafter(np.float32(1.0), np.float32(0.0)))
    fill(gallery, {"a": [0.0], "b": [1.0], "c": [100.0], "d": [100.0 + 2], "e": [-inside]})
    set_threshold(gallery, 1.0)  # the limit is the largest number below
    assert [f.labels for f in gallery.health().of("collision")] == [("a", "e")]


def test_what_is_ruled_out_does_not_collide(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"a": [0.0], "b": [1.0]})
    set_threshold(gallery, 2.0)
    gallery.enroll("b", np.array([[0.0, 0.5]]), role="not")
    gallery.enroll("a", np.array([[1.0, 0.5]]), role="not")
    assert not gallery.health().of("collision")


def test_what_is_ignored_ends_the_search_for_collisions(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"a": [0.0], "b": [1.0]})
    set_threshold(gallery, 2.0)
    assert gallery.health().counts["collision"] == 1
    gallery.enroll("", np.array([[0.5, 0.0]]), role="ignore")
    assert gallery.health().counts["collision"] == 0


def test_a_collision_by_a_stray_exemplar_blames_it(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    others = {f"c{k}": [100.0 + 2 * k, 101 + 2 * k] for k in range(4)}
    ids = fill(gallery, {"a": [0, 1, 2, 301.1], "b": [300, 301, 302.5], **others})
    set_threshold(gallery, 1.25)
    (found,) = [f for f in gallery.health().of("collision") if set(f.labels) == {"a", "b"}]
    stray = ids["a"][3]
    assert found.command == f"ilk gallery remove --exemplar {stray} {gallery.access.location}"
    gallery.remove_exemplars([stray])
    assert not [f for f in gallery.health().of("collision") if "a" in f.labels]


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    points=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=25, unique=True
    ),
    limit=st.sampled_from([1.5, 2.5, 4.5]),
)
def test_collisions_and_outliers_are_those_of_the_definition(
    make_gallery: MakeGallery, points: list[tuple[int, int]], limit: float
) -> None:
    gallery = make_gallery(f"g{next(NUMBERS)}", strangers=False)
    placed: dict[str, list[float]] = {}
    for label, x in points:
        placed.setdefault(f"c{label}", []).append(float(x))
    ids = fill(gallery, placed)
    set_threshold(gallery, limit)
    health = gallery.health()
    apart = {
        frozenset(pair): min(abs(x - y) for x in placed[pair[0]] for y in placed[pair[1]])
        for pair in itertools.combinations(placed, 2)
    }
    expected = {pair: gap for pair, gap in apart.items() if gap < limit}
    found = {frozenset(f.labels): f.distance for f in health.of("collision")}
    assert found == expected
    assert [f.distance for f in health.of("collision")] == sorted(expected.values())
    closest = {
        (label, row, other): min(
            (abs(places[at] - x) for k, x in enumerate(placed[other]) if (other, k) != (label, at)),
            default=np.inf,
        )
        for label, places in placed.items()
        for at, row in enumerate(ids[label])
        for other in placed
    }
    astray: set[int] = set()
    for name, places in placed.items():
        for one in ids[name] if len(places) >= 3 else ():
            own = closest[name, one, name]
            num_closer = sum(closest[name, one, other] < own for other in placed)
            if num_closer >= 3 and num_closer > 0.3 * (len(placed) - 1):
                astray.add(one)
    assert {f.exemplars[0] for f in health.of("outlier") if "closer" in f.reason} == astray


def test_the_threshold_has_no_say_in_who_is_an_outlier(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"wide": [10.0 * x for x in range(20)], "narrow": [500, 501, 502, 503]})
    set_threshold(gallery, 0.5)
    health = gallery.health()
    assert not health.of("outlier")
    assert {f.labels for f in health.of("goat")} == {("wide",), ("narrow",)}


def test_an_outlier_without_a_threshold(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    even: dict[str, Sequence[float]] = {
        f"c{k}": [100 * k + 1.1**k * i for i in range(6)] for k in range(6)
    }
    ids = fill(gallery, even | {"odd": [1000, 1001, 1002, 1003, 1004, 1008]})
    health = gallery.health()
    assert [f.exemplars for f in health.of("outlier")] == [(ids["odd"][5],)]
    assert health.of("outlier")[0].distance == 4.0
    assert "4 times as far" in health.of("outlier")[0].reason
    assert health.threshold is None
    assert "threshold" in health.notes[0]
    assert not health.of("collision")


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_rule_for_outliers_knows_no_scale(make_gallery: MakeGallery, scale: float) -> None:
    gallery = make_gallery(strangers=False)
    steps = 1 + 0.1 * np.random.default_rng(3).random((8, 6))
    placed = {f"c{k}": list(scale * (100 * k + np.cumsum(s))) for k, s in enumerate(steps)}
    placed["c0"][5] = placed["c0"][4] + 3 * scale
    ids = fill(gallery, placed)
    assert [f.exemplars[0] for f in gallery.health().of("outlier")] == [ids["c0"][5]]


def test_exemplars_far_from_each_other_are_lost_and_no_outliers(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"two": [0, 9], "three": [100, 109, 118]})
    set_threshold(gallery, 2.0)
    health = gallery.health()
    assert not health.of("outlier")
    assert {f.labels for f in health.of("goat")} == {("two",), ("three",)}


def test_copies_in_a_class_and_across_classes(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(
        gallery,
        {
            "a": [0, 10, 0.001, 10.001, 5],
            "b": [1000, 990, 980, 500.0],
            "c": [500.001, 490, 510],
        },
    )
    health = gallery.health()
    assert 0.001 < health.almost_zero < 5
    across, *inside = health.of("duplicate")
    assert across.labels == ("b", "c")
    assert set(across.exemplars) == {ids["b"][3], ids["c"][0]}
    # the one that is far from its own class goes
    assert f"--exemplar {ids['b'][3]} " in across.command
    assert {f.exemplars for f in inside} == {
        (ids["a"][2], ids["a"][0]),
        (ids["a"][3], ids["a"][1]),
    }
    for finding in health.of("duplicate"):
        words = shlex.split(finding.command)
        gallery.remove_exemplars([int(words[words.index("--exemplar") + 1])])
    assert gallery.health().counts["duplicate"] == 0
    assert len(gallery.exemplars()) == 12 - 3


def test_many_copies_leave_one(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(gallery, {"a": [7.0] * 5 + [100.0], "b": [300.0]})
    found = gallery.health().of("duplicate")
    assert [f.exemplars for f in found] == [(row, ids["a"][0]) for row in ids["a"][1:5]]


def test_few_exemplars_the_fewest_first(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(gallery, {"two": [0, 1], "three": [10, 11, 12], "none": [20], "it's one": [30]})
    gallery.remove_exemplars(ids["none"])
    found = gallery.health().of("few")
    assert [(f.labels[0], f.count) for f in found] == [("none", 0), ("it's one", 1), ("two", 2)]
    words = shlex.split(found[1].command)
    assert words == [
        *("ilk", "enroll", "--label", "it's one", str(gallery.access.location), "FILE..."),
    ]


def menagerie(gallery: Gallery) -> None:
    """Thirty classes far apart, one whose exemplars lie on eight of them, one with all on one."""
    placed = {f"c{k:02}": [100.0 * k, 100 * k + 1, 100 * k + 2] for k in range(30)}
    placed["wolf"] = [100.0 * k + 3 for k in range(8)]
    placed["shadow"] = [2000.5, 2000.75, 2001.25, 2001.5, 2001.75]
    fill(gallery, placed)
    set_threshold(gallery, 1.5)


def test_a_wolf_takes_many_names(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    menagerie(gallery)
    health = gallery.health()
    (wolf,) = health.of("wolf")
    assert (wolf.labels, wolf.count, wolf.num_trials) == (("wolf",), 8, 31)


def test_a_lamb_gives_its_name_to_many(make_gallery: MakeGallery) -> None:
    """The same class seen from the other side: the eight would be given its name."""
    gallery = make_gallery(strangers=False)
    menagerie(gallery)
    (lamb,) = gallery.health().of("lamb")
    assert (lamb.labels, lamb.count, lamb.num_trials) == (("wolf",), 8, 31 + 99)


def test_strangers_of_the_calibration_make_a_lamb(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(gallery, {f"c{k:02}": [100.0 * k, 100 * k + 1] for k in range(30)})
    near = [[700.0, 10.0 + 0.01 * k] for k in range(5)]
    far = [[100.0 * k, 50 + k] for k in range(30)] * 10
    groups = [f"g{k}" for k in range(5)] + [f"h{k}" for k in range(300)]
    gallery.calibrate(0.02, strangers=np.array(near + far), groups=groups)
    (lamb,) = gallery.health().of("lamb")
    assert (lamb.labels, lamb.count) == (("c07",), 5)
    assert lamb.exemplars == (ids["c07"][0],)
    assert "5 are strangers" in lamb.reason
    # five pictures of one stranger are one stranger
    gallery.calibrate(0.02, strangers=np.array(near + far), groups=["g"] * 5 + groups[5:])
    assert not gallery.health().of("lamb")


def test_a_goat_loses_its_own(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    ids = fill(
        gallery,
        {
            "sheep": [0, 1, 2, 3],
            "scattered": [100, 105, 110, 110.5, 111],
            "overrun": [200.0, 202.0],
            "army": [200.75, 201.25, 202.75],
        },
    )
    set_threshold(gallery, 2.5)
    goats = {f.labels[0]: (f.count, f.num_trials) for f in gallery.health().of("goat")}
    # of the scattered, two of five are lost: fewer than half
    assert goats == {"overrun": (2, 2)}
    gallery.remove_exemplars([ids["scattered"][4]])
    (goat, *_) = [f for f in gallery.health().of("goat") if f.labels == ("scattered",)]
    assert goat.exemplars == tuple(ids["scattered"][:2])


@settings(deadline=None, max_examples=50)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_who_stands_out_by_the_binomial_tail(counts: list[int]) -> None:
    from math import comb

    num_classes, total = 20, sum(counts)
    events = np.repeat(np.arange(len(counts)), counts)

    def tail(n: int) -> float:
        p = 1 / num_classes
        return sum(comb(total, k) * p**k * (1 - p) ** (total - k) for k in range(n, total + 1))

    expected = [(c, n) for c, n in enumerate(counts) if n >= 3 and tail(n) * num_classes <= 0.05]
    assert stand_out(events, num_classes) == sorted(expected, key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize("templates", ["mean", "medoids:1"])
def test_it_looks_at_exemplars_whatever_the_templates(
    make_gallery: MakeGallery, templates: str
) -> None:
    placed: Placed = {"a": [0, 1, 2, 2.001], "b": [2.5, 3.5], "far": [50, 51, 52]}
    told = []
    for name, kind in (("every", "every"), ("other", templates)):
        gallery = make_gallery(name, strangers=False, templates=kind)
        fill(gallery, placed)
        set_threshold(gallery, 1.25, above=51)
        told.append(
            [(f.kind, f.labels, f.exemplars, f.distance) for f in gallery.health().findings]
        )
    assert told[0] == told[1]
    assert {"collision", "duplicate", "few"} <= {kind for kind, *_ in told[0]}


@pytest.mark.parametrize("distance", [Cosine(), Euclidean(), Hyperbolic()])
def test_under_any_distance_random_classes_are_well(
    make_gallery: MakeGallery, distance: Distance
) -> None:
    generator = np.random.default_rng(5)
    gallery = make_gallery(distance=distance, size=16, strangers=False)
    centres = generator.normal(size=(40, 16))
    rows = np.repeat(centres, 6, 0) + 0.15 * generator.normal(size=(240, 16))
    labels = [f"c{k}" for k in range(40) for _ in range(6)]
    gallery.enroll(labels, rows)
    gallery.calibrate(0.01, strangers=generator.normal(size=(200, 16)))
    health = gallery.health()
    assert health.is_well, health.findings
    rows[7] = centres[20]
    gallery.enroll("c1", rows[7:8])
    sick = gallery.health()
    assert sick.counts["collision"] == sick.counts["outlier"] == 1
    assert sick.of("collision")[0].exemplars[0] in (241, *range(121, 127))


def test_large_galleries_are_sampled_and_say_so(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {f"c{k:02}": [10.0 * k + 0.1 * i for i in range(4)] for k in range(20)})
    set_threshold(gallery, 11.0)
    whole, part = gallery.health(), gallery.health(max_exemplars=10)
    assert (whole.num_examined, whole.notes) == (80, ())
    assert (part.num_examined, part.num_exemplars) == (10, 80)
    assert "10 of 80" in part.notes[0]
    assert part == gallery.health(max_exemplars=10)
    pairs = {f.labels for f in whole.of("collision")}
    assert {f.labels for f in part.of("collision")} < pairs
    assert len(pairs) == 19


def test_a_class_of_thousands(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(size=16, strangers=False)
    rows = np.random.default_rng(2).normal(size=(1200, 16))
    rows[700] *= 20
    answers = gallery.enroll("many", rows)
    gallery.enroll("few", rows[:3] + 500)
    found = gallery.health().of("outlier")
    assert [f.exemplars for f in found] == [(answers[700].exemplar_id,)]
    # of a large class, only those that are drawn are compared
    assert gallery.health(max_exemplars=50).num_examined == 50
    with gallery.access.fresh() as state, state.store.reading() as reader:
        around = look_around(exemplars_of(state, reader), None, 50)
    is_told = ~np.isnan(around.own.distances)
    assert set(np.flatnonzero(is_told)) == {*around.asked, 1200, 1201, 1202}


def test_classes_behind_many_of_its_own(
    make_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {"a": [0.01 * k for k in range(70)], "b": [1.2, 2.2, 3.2]})
    set_threshold(gallery, 1.0)
    (found,) = gallery.health().of("collision")
    assert found.distance == pytest.approx(0.51)
    monkeypatch.setattr("ilk.gallery.neighborhood._MOST_NEAR", 16)
    (note,) = gallery.health().notes
    assert "71 exemplars have so many others" in note


def test_only_so_many_are_listed_and_all_are_counted(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    fill(gallery, {f"c{k}": [10.0 * k] for k in range(9)})
    health = gallery.health(max_findings=4)
    assert len(health.of("few")) == 4
    assert health.counts["few"] == 9
    assert not health.is_well


def test_an_empty_gallery_is_well(make_gallery: MakeGallery) -> None:
    health = make_gallery(strangers=False).health()
    assert health.is_well
    assert (health.num_classes, health.num_exemplars) == (0, 0)


def test_it_is_json(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    menagerie(gallery)
    gallery.enroll("alone", np.array([[9e4, 0.0]]))
    told = json.loads(json.dumps(gallery.health().to_json(), allow_nan=False))
    assert {f["kind"] for f in told["findings"]} >= {"collision", "wolf", "lamb", "few"}
    assert told["is_well"] is False


def test_faults_of_the_store_are_problems(
    make_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery(strangers=False)
    store = gallery.access.store
    monkeypatch.setattr(type(store), "check", lambda self: ["row 3 is short"])
    health = gallery.health()
    assert health.problems == ("row 3 is short",)
    assert not health.is_well


def test_a_maximum_of_nothing_is_refused(make_gallery: MakeGallery) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        make_gallery().health(max_exemplars=0)


@pytest.mark.parametrize("label", ["owl", "barn owl", "it's", "-x", "$(rm -rf /)", 'a"b;c', "é"])
def test_labels_survive_a_shell(label: str) -> None:
    place = "my gallery"
    words = shlex.split(commands.merge(place, label, "x"))
    assert [w for w in words if w != "--"] == ["ilk", "gallery", "merge", place, label, "x"]
    assert ("--" in words) == label.startswith("-")
    words = shlex.split(commands.enroll_more(place, label))
    assert words == ["ilk", "enroll", "--label", label, place, "FILE..."]
