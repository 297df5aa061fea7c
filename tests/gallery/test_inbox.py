"""The inbox: unknown probes are kept on purpose, clustered, and named by a person only."""

from __future__ import annotations

import itertools
import json
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gallery.conftest import MakeGallery

from ilk.distances import Cosine
from ilk.errors import GalleryError, InvalidInput, NotCalibrated, UndoConflict
from ilk.gallery import Gallery
from ilk.gallery.linkage import complete_linkage

ORIGIN = np.array([[0.0, 0.0]])


@pytest.fixture
def gallery(make_gallery: MakeGallery) -> Gallery:
    """A class at the origin; the threshold is just below 5."""
    made = make_gallery(strangers=False)
    made.enroll("here", ORIGIN, content_hashes=["origin"], names=["origin.png"])
    made.calibrate(0.01, strangers=np.stack([np.zeros(99), -5 - np.arange(99.0)], axis=1))
    return made


def keep(
    gallery: Gallery, places: list[tuple[float, float]], content_hashes: list[str] | None = None
) -> list[int]:
    """Ask about places and keep what is unknown; all of them are."""
    probes = np.array(places)
    names = [f"{x:g},{y:g}.png" for x, y in places]
    answers = gallery.identify(probes, names=names)
    kept = gallery.keep_unknown(answers, probes, content_hashes=content_hashes)
    assert None not in kept
    return [i for i in kept if i is not None]


def test_an_empty_gallery_does_not_take_all_unknowns_for_one_thing(
    make_gallery: MakeGallery,
) -> None:
    """Any distance would keep the promise of a gallery without classes; none tells who is who."""
    gallery = make_gallery(distance=Cosine(), size=32, strangers=False)
    rng = np.random.default_rng(0)
    people = rng.normal(size=(54 + 200, 1, 32)) + 0.2 * rng.normal(size=(254, 2, 32))
    strangers = people[54:].reshape(-1, 32)
    gallery.calibrate(0.01, strangers=strangers, groups=[f"s{i // 2}" for i in range(400)])
    assert gallery.threshold.value == 2.0
    probes = people[:54].reshape(-1, 32)
    gallery.keep_unknown(gallery.identify(probes), probes)
    for _ in ("nobody", "somebody"):
        found = [set(proposal.ids) for proposal in gallery.proposals()]
        assert len(found) >= 48  # one in a hundred of two people is within the threshold
        assert all({2 * i + 1, 2 * i + 2} <= ids for ids in found for i in {(min(ids) - 1) // 2})
        gallery.enroll("somebody", rng.normal(size=(1, 32)))


def test_without_two_classes_of_strangers_an_empty_gallery_refuses_to_cluster(
    make_gallery: MakeGallery,
) -> None:
    gallery = make_gallery(strangers=False)
    gallery.calibrate(0.6, strangers=np.ones((3, 2)), groups=["a", "a", "a"])
    gallery.keep_unknown(gallery.identify(ORIGIN), ORIGIN)
    with pytest.raises(NotCalibrated, match="nothing is enrolled and there are no two classes"):
        gallery.proposals()


def test_only_what_is_unknown_is_kept(gallery: Gallery) -> None:
    gallery.enroll("there", np.array([[8.0, 0.0]]))
    probes = np.array([[0.0, 1.0], [4.0, 0.0], [0.0, 30.0], [np.nan, 0.0]])
    answers = gallery.identify(probes, names=["a", "b", "c", "d"])
    assert [a.decision for a in answers] == ["identified", "ambiguous", "unknown", "not_assessable"]
    kept = gallery.keep_unknown(answers, probes, crops=[b"1", b"2", b"3", b"4"])
    assert kept == [None, None, 1, None]
    (row,) = gallery.unknowns()
    assert (row.id, row.name, row.distance, row.has_crop) == (1, "c", 30.0, True)
    assert row.embedding.tolist() == [0.0, 30.0]
    with gallery.access.reading() as reader:
        assert reader.unknown_crop(1) == b"3"


def test_nothing_is_learned_by_itself(gallery: Gallery) -> None:
    before = gallery.identify(np.array([[30.0, 0.0]]))
    keep(gallery, [(30.0, 0.0), (30.0, 1.0)])
    assert gallery.identify(np.array([[30.0, 0.0]])) == before
    assert [row.label for row in gallery.labels()] == ["here"]


def test_nothing_to_keep_is_no_change(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take the lock of a writer, which a read-only gallery could not give."""
    monkeypatch.delattr(type(gallery.access), "change")
    probes = np.array([[0.0, 1.0]])
    length = len(gallery.history())
    assert gallery.keep_unknown(gallery.identify(probes), probes) == [None]
    assert gallery.keep_unknown([], np.zeros((0, 2))) == []
    assert len(gallery.history()) == length


def test_the_same_content_is_kept_once(gallery: Gallery) -> None:
    assert keep(gallery, [(30, 0), (31, 0)], content_hashes=["x", "x"]) == [1, 1]
    assert keep(gallery, [(30, 0)], content_hashes=["x"]) == [1]
    assert len(gallery.unknowns()) == 1


def test_erased_and_judged_content_is_not_kept(gallery: Gallery) -> None:
    gallery.enroll("x", np.array([[50.0, 0.0]]), content_hashes=["secret"])
    gallery.erase("x")
    gallery.enroll("", np.array([[60.0, 0.0]]), content_hashes=["junk"], role="ignore")
    probes = np.array([[50.0, 0.0], [60.0, 0.0], [70.0, 0.0]])
    answers = gallery.identify(probes)
    assert {a.decision for a in answers} == {"unknown"}
    hashes = ["secret", "junk", "new"]
    assert gallery.keep_unknown(answers, probes, content_hashes=hashes) == [None, None, 1]


def test_an_erasure_takes_kept_probes_of_the_same_content(gallery: Gallery) -> None:
    keep(gallery, [(30, 0), (31, 0)], content_hashes=["x", "y"])
    gallery.enroll("x", np.array([[30.0, 0.0]]), content_hashes=["x"])
    assert gallery.erase("x").num_unknowns == 1
    assert [row.content_hash for row in gallery.unknowns()] == ["y"]


def test_lengths_must_fit(gallery: Gallery) -> None:
    probes = np.array([[30.0, 0.0], [31.0, 0.0]])
    answers = gallery.identify(probes)
    with pytest.raises(InvalidInput, match="expected 2 names, one per identification, got 1"):
        gallery.keep_unknown(answers, probes, names=["a"])
    with pytest.raises(InvalidInput, match="expected 2 embeddings"):
        gallery.keep_unknown(answers, probes[:1])
    assert not gallery.unknowns()


def test_proposals_are_clusters_the_largest_first(gallery: Gallery) -> None:
    ids = keep(gallery, [(100, 0), (0, 50), (2, 50), (0, 200), (1, 52), (103, 0), (0, 300.5)])
    first, second, *rest = gallery.proposals()
    assert first.ids == (ids[1], ids[2], ids[4])
    assert first.names == ("0,50.png", "2,50.png", "1,52.png")
    assert first.diameter == pytest.approx(5**0.5)
    assert first.middle in (ids[1], ids[2])
    assert (first.closest_label, first.closest_distance) == ("here", 50.0)
    assert second.ids == (ids[0], ids[5])
    assert [p.ids for p in rest] == [(ids[3],), (ids[6],)]
    assert all(p.diameter == 0 for p in rest)
    assert shlex.split(first.command)[-4:] == ["LABEL", *map(str, first.ids)]


def test_a_chain_is_no_class(gallery: Gallery) -> None:
    """Each is within the threshold of the next, and the ends are ten times as far apart."""
    keep(gallery, [(100.0 + 4 * k, 0) for k in range(12)])
    proposals = gallery.proposals()
    assert [len(p) for p in proposals] == [2] * 6
    assert all(p.diameter == 4.0 for p in proposals)


def test_proposals_do_not_depend_on_the_order(make_gallery: MakeGallery) -> None:
    generator = np.random.default_rng(0)
    places = np.repeat(generator.normal(size=(12, 8)), 5, 0) + 0.05 * generator.normal(size=(60, 8))
    centre = -places.sum(0)
    found = []
    for name, order in (("a", np.arange(60)), ("b", generator.permutation(60))):
        gallery = make_gallery(name, distance=Cosine(), size=8, strangers=False)
        gallery.enroll("x", centre[None])
        near = centre + 0.12 * np.linalg.norm(centre) * generator.normal(size=(99, 8))
        gallery.calibrate(0.5, strangers=near)
        answers = gallery.identify(places[order], names=[f"{i}" for i in order])
        gallery.keep_unknown(answers, places[order])
        found.append({frozenset(p.names) for p in gallery.proposals()})
    assert found[0] == found[1]
    assert {len(c) for c in found[0]} == {5}


def test_no_threshold_no_proposals(gallery: Gallery) -> None:
    calibrated = gallery.history(last=1)[0]
    assert calibrated.action == "calibrate"
    keep(gallery, [(30, 0)])
    gallery.undo(calibrated.id)
    with pytest.raises(NotCalibrated):
        gallery.proposals()
    assert len(gallery.unknowns()) == 1


def test_no_unknowns_no_proposals(make_gallery: MakeGallery) -> None:
    assert make_gallery(strangers=False).proposals() == []


def test_a_name_makes_exemplars_in_one_change(gallery: Gallery) -> None:
    probes = np.array([[30.0, 0.0], [31.0, 0.0]])
    answers = gallery.identify(probes, names=["a.png", "b.png"])
    ids = gallery.keep_unknown(
        answers, probes, content_hashes=["one", "two"], crops=[b"picture", None]
    )
    length = len(gallery.history())
    enrolled = gallery.name_unknowns([i for i in ids if i], " owl ")
    assert [e.is_enrolled for e in enrolled] == [True, True]
    assert len(gallery.history()) == length + 1
    rows = gallery.exemplars("owl")
    assert [(r.name, r.content_hash, r.has_crop) for r in rows] == [
        ("a.png", "one", True),
        ("b.png", "two", False),
    ]
    with gallery.access.reading() as reader:
        assert reader.crop(rows[0].id) == b"picture"
        assert reader.embeddings([r.id for r in rows]).tolist() == probes.tolist()
    assert not gallery.unknowns()
    assert gallery.identify(np.array([[30.0, 1.0]]))[0].label == "owl"
    assert gallery.undo().action == "name"
    assert [row.id for row in gallery.unknowns()] == ids
    assert gallery.identify(np.array([[30.0, 1.0]]))[0].decision == "unknown"
    assert [row.label for row in gallery.labels()] == ["here"]


def test_naming_into_a_class_that_is_there(gallery: Gallery) -> None:
    ids = keep(gallery, [(6.0, 0.0), (30.0, 0.0)])
    gallery.enroll("owl", np.array([[31.0, 0.0]]))
    gallery.name_unknowns(ids[1:], "owl")
    assert len(gallery.exemplars("owl")) == 2
    assert [row.id for row in gallery.unknowns()] == ids[:1]


def test_what_is_refused_stays(gallery: Gallery) -> None:
    ids = keep(gallery, [(30, 0), (31, 0)], content_hashes=["x", "y"])
    gallery.enroll("gull", np.array([[30.0, 0.0]]), content_hashes=["x"])
    first, second = gallery.name_unknowns(ids, "owl", guard="off")
    assert (first.is_enrolled, second.is_enrolled) == (False, True)
    assert "'gull'" in first.reason
    assert [row.id for row in gallery.unknowns()] == ids[:1]


def test_the_guard_looks_at_names_too(gallery: Gallery) -> None:
    ids = keep(gallery, [(30, 0), (31, 0)])
    gallery.enroll("gull", np.array([[30.0, 1.0]]))
    (warned,) = gallery.name_unknowns(ids[:1], "owl")
    assert "'gull'" in warned.reason
    assert warned.is_enrolled
    (refused,) = gallery.name_unknowns(ids[1:], "hen", guard="refuse")
    assert not refused.is_enrolled
    assert len(gallery.unknowns()) == 1


def test_ids_that_are_not_kept_are_refused(gallery: Gallery) -> None:
    ids = keep(gallery, [(30, 0), (31, 0)])
    gallery.discard_unknowns(ids[:1])
    for call in (lambda: gallery.name_unknowns(ids, "owl"), lambda: gallery.discard_unknowns(ids)):
        with pytest.raises(InvalidInput, match="keeps no unknown probe 1"):
            call()
    with pytest.raises(InvalidInput, match="at least one"):
        gallery.name_unknowns([], "owl")
    with pytest.raises(InvalidInput, match="label"):
        gallery.name_unknowns(ids[1:], "  ")
    assert [row.id for row in gallery.unknowns()] == ids[1:]


def test_discarding_can_be_undone(gallery: Gallery) -> None:
    ids = keep(gallery, [(30, 0), (31, 0), (32, 0)])
    gallery.discard_unknowns(ids[:2])
    assert [row.id for row in gallery.unknowns()] == ids[2:]
    assert gallery.undo().action == "discard"
    assert [row.id for row in gallery.unknowns()] == ids


def test_the_latest_change_may_be_a_keeping(gallery: Gallery) -> None:
    """Of whatever command: who undoes it is told, and never loses an older one instead."""
    gallery.enroll("owl", np.array([[30.0, 0.0]]))
    keep(gallery, [(60, 0)])
    assert gallery.undo().action == "keep"
    assert gallery.unknowns() == []
    assert gallery.undo().action == "enroll"


def test_what_is_kept_again_stands_in_the_way_of_an_undo(gallery: Gallery) -> None:
    (first,) = keep(gallery, [(30, 0)], content_hashes=["x"])
    discarded = gallery.discard_unknowns([first])
    (second,) = keep(gallery, [(30, 0)], content_hashes=["x"])
    with pytest.raises(UndoConflict, match="the same unknown is there again"):
        gallery.undo(discarded)
    assert [row.id for row in gallery.unknowns()] == [second]


def test_a_named_probe_stands_in_the_way_of_undoing_its_keeping(gallery: Gallery) -> None:
    ids = keep(gallery, [(30, 0)])
    keeping = gallery.history()[-1]
    gallery.name_unknowns(ids, "owl")
    with pytest.raises(UndoConflict, match=f"change {keeping.id} "):
        gallery.undo(keeping.id)


def test_a_proposal_is_json(gallery: Gallery) -> None:
    keep(gallery, [(30, 0), (31, 0)])
    told = json.loads(json.dumps(gallery.proposals()[0].to_json(), allow_nan=False))
    assert told["ids"] == [1, 2]


def test_a_probe_that_nothing_was_near(make_gallery: MakeGallery) -> None:
    """Ignored probes have no closest class; their distance is infinite and is told as None."""
    gallery = make_gallery()
    gallery.enroll("here", ORIGIN)
    gallery.enroll("", np.array([[30.0, 0.0]]), role="ignore")
    keep(gallery, [(30.0, 1.0)])
    (proposal,) = gallery.proposals()
    assert (proposal.closest_label, proposal.closest_distance) == (None, None)
    assert np.isinf(gallery.unknowns()[0].distance)


def test_a_read_only_gallery_keeps_nothing(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GalleryError("the disk is full")

    probes = np.array([[30.0, 0.0]])
    answers = gallery.identify(probes)
    monkeypatch.setattr(type(gallery.access), "change", refuse)
    with pytest.raises(GalleryError, match="full"):
        gallery.keep_unknown(answers, probes)


@settings(deadline=None, max_examples=150)
@given(
    places=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=0, max_size=9),
    limit=st.sampled_from([0.0, 1.0, 2.0, 3.5]),
)
def test_complete_linkage_by_its_definition(places: list[tuple[int, int]], limit: float) -> None:
    points = np.array(places, np.float64).reshape(-1, 2)
    distances = np.abs(points[:, None] - points).sum(-1)
    assert complete_linkage(distances, limit).tolist() == by_definition(distances, limit)


def by_definition(distances: np.ndarray, limit: float) -> list[int]:
    """Join the closest two clusters, the first of equals, as long as that is within the limit."""
    clusters = [[i] for i in range(len(distances))]
    while True:
        pairs = [
            (max(distances[i, j] for i in a for j in b), a[0], b[0])
            for a, b in itertools.combinations(clusters, 2)
        ]
        if not pairs or min(pairs)[0] > limit:
            break
        _, first, second = min(pairs)
        a = next(c for c in clusters if c[0] == first)
        b = next(c for c in clusters if c[0] == second)
        a.extend(b)
        clusters.remove(b)
    owner = {i: cluster[0] for cluster in clusters for i in cluster}
    return [owner[i] for i in range(len(distances))]
