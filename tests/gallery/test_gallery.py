"""What a gallery answers to its callers, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ilk.artifact import Cohort, class_hash
from ilk.closest import class_distances, closest_classes
from ilk.distances import Cosine, Euclidean, Hyperbolic
from ilk.errors import (
    DamagedGallery,
    ForeignGallery,
    GalleryError,
    InvalidInput,
    NoSuchClass,
    NotCalibrated,
    UndoConflict,
    WrongEncoder,
)
from ilk.gallery import Binding, Gallery
from ilk.store import Role

Make = Callable[..., Gallery]


def at(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points)


def test_names_what_is_near_and_says_unknown_of_what_is_far(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll(["owl", "owl", "wren"], at((0, 0), (0, 2), (30, 0)))
    near, far, broken = gallery.identify(at((0, 1.5), (101, 0), (np.nan, 0)), names=["a", "b", "c"])
    assert (near.decision, near.label, near.name) == ("identified", "owl", "a")
    assert [c.label for c in near.candidates] == ["owl", "wren"]
    assert [c.distance for c in near.candidates] == pytest.approx([0.5, math.hypot(30, 1.5)])
    assert near.candidates[0].exemplars == (2,)
    assert near.threshold is not None
    assert near.threshold.num_trials == 99
    assert near.p_value == 1 / 100
    assert (far.decision, far.label) == ("unknown", None)
    assert far.candidates[0].label == "wren"
    assert (broken.decision, broken.candidates) == ("not_assessable", ())
    assert "not finite" in broken.reason


def test_two_close_classes_are_ambiguous_and_a_margin_of_zero_settles_it(
    make_gallery: Make,
) -> None:
    gallery = make_gallery(margin=0.05)
    gallery.enroll(["owl", "wren"], at((0, 0), (10, 0)))
    limit = gallery.threshold.value
    (answer,) = gallery.identify(at((5 - limit * 0.02, 0)))
    assert (answer.decision, answer.label) == ("ambiguous", None)
    assert "'owl'" in answer.reason
    assert "'wren'" in answer.reason
    (answer,) = gallery.identify(at((5 - limit * 0.03, 0)))
    assert (answer.decision, answer.label) == ("identified", "owl")
    gallery.calibrate(margin=0.0)
    (answer,) = gallery.identify(at((5 - limit * 0.02, 0)))
    assert answer.label == "owl"


def test_one_class_within_the_threshold_is_not_ambiguous(make_gallery: Make) -> None:
    gallery = make_gallery(margin=0.5)
    gallery.enroll(["owl", "wren"], at((0, 0), (-200, 0)))
    (answer,) = gallery.identify(at((-99.5, 0)))  # beyond the threshold to both, nearly
    assert answer.decision == "identified" or answer.decision == "unknown"
    (answer,) = gallery.identify(at((-1, 0)))
    assert answer.label == "owl"


def test_an_empty_gallery_knows_nobody(make_gallery: Make) -> None:
    (answer,) = make_gallery().identify(at((0, 0)))
    assert (answer.decision, answer.candidates) == ("unknown", ())
    assert "nothing is enrolled" in answer.reason


def test_refuses_to_decide_without_a_threshold(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    gallery.enroll("owl", at((0, 0)))
    with pytest.raises(NotCalibrated, match="not calibrated, so nothing can be named"):
        gallery.identify(at((0, 0)))
    with pytest.raises(
        NotCalibrated,
        match=r"needs at least 99 classes.*got 20 \(20 probes\); add 79, or ask for 0.048",
    ):
        gallery.calibrate(0.01, strangers=np.arange(40.0).reshape(20, 2))
    assert gallery.settings.basis is None
    assert gallery.calibrate(0.1, strangers=np.arange(40.0).reshape(20, 2)).num_trials == 20


def test_the_cohort_calibrates_and_those_who_enroll_leave_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cohort = Cohort(
        rng.normal(size=(40, 3)).astype(np.float32),
        np.repeat(np.arange(20), 2),
        tuple(class_hash(f"s{i}") for i in range(20)),
    )
    binding = Binding(distance=Cosine(), embedding_size=3, encoder_fingerprint="rng", cohort=cohort)
    with Gallery.create(tmp_path / "g", binding) as gallery:
        assert gallery.settings.basis == "cohort"
        with pytest.raises(NotCalibrated, match="cannot carry the target"):
            gallery.identify(np.ones((1, 3)))
        assert gallery.calibrate(0.06).num_trials == 40
        gallery.enroll(["s3", "x"], rng.normal(size=(2, 3)))
        assert (gallery.threshold.num_trials, gallery.threshold.num_classes) == (38, 19)
        gallery.rename("x", "s5")
        assert (gallery.threshold.num_trials, gallery.threshold.num_classes) == (36, 18)
        gallery.rename("s3", "s4")
        gallery.enroll("s3", rng.normal(size=(1, 3)))
        gallery.enroll(["s7", "s8"], rng.normal(size=(2, 3)))
        with pytest.raises(NotCalibrated, match=r"needs at least 16 classes.*got 15") as missing:
            gallery.identify(np.ones((1, 3)))
        assert "or ask for 0.063 or above" in str(missing.value)
        for label in ("s3", "s4", "s5", "s7", "s8"):
            gallery.remove(label)
        assert gallery.threshold.num_trials == 40


def test_strangers_who_enroll_leave_the_calibration_by_label_and_by_content(
    make_gallery: Make,
) -> None:
    gallery = make_gallery(strangers=False)
    far = np.arange(60.0).reshape(30, 2) + 50
    groups, hashes = [f"s{i // 3}" for i in range(30)], [f"h{i}" for i in range(30)]
    gallery.calibrate(0.1, strangers=far, groups=groups, content_hashes=hashes)
    gallery.enroll("s1", at((0, 0)))
    assert gallery.threshold.num_trials == 27
    gallery.enroll("other", at((1, 1)), content_hashes=["h29"])
    assert gallery.threshold.num_trials == 26
    assert gallery.threshold.num_classes == 9


def test_a_stranger_is_not_enrolled_because_its_embedding_is(make_gallery: Make) -> None:
    """A third of the strangers look like the enrolled; they are the ones that matter."""
    gallery = make_gallery(strangers=False)
    gallery.enroll("owl", at((0, 0)))
    strangers = np.concatenate([np.zeros((50, 2)), np.arange(100.0, 298.0).reshape(99, 2)])
    names, hashes = [f"s{i}" for i in range(149)], [f"{i:064x}" for i in range(149)]
    for groups, contents in ((names, None), (None, None), (None, hashes)):
        threshold = gallery.calibrate(
            0.1, strangers=strangers, groups=groups, content_hashes=contents
        )
        assert (threshold.num_trials, threshold.num_classes) == (149, 149)
        (answer,) = gallery.identify(at((0, 0)))
        assert (answer.decision, answer.p_value) == ("unknown", 51 / 150)
        with Gallery.open(gallery.access.location.folder) as anew:
            assert anew.threshold == threshold
            assert anew.identify(at((0, 0))) == [answer]


def test_strangers_without_groups_are_a_class_each_but_the_same_file_is_one(
    make_gallery: Make,
) -> None:
    gallery = make_gallery(strangers=False)
    same = np.tile(np.array([[70.0, 0.0]]), (30, 1))
    assert gallery.calibrate(0.1, strangers=same).num_classes == 30
    hashes = [f"file {i // 3}" for i in range(30)]
    assert gallery.calibrate(0.1, strangers=same, content_hashes=hashes).num_classes == 10
    groups = ["", *["one"] * 9, *[f"s{i}" for i in range(20)]]
    assert gallery.calibrate(0.1, strangers=same, groups=groups).num_classes == 22


def test_enrolling_strangers_whom_the_calibration_needs_is_told_or_refused(
    make_gallery: Make,
) -> None:
    gallery = make_gallery(strangers=False)
    groups = [f"s{i // 2}" for i in range(200)]
    far = np.stack([np.arange(200.0) + 100, np.zeros(200)], axis=1)
    gallery.calibrate(0.01, strangers=far, groups=groups)
    assert gallery.shortage(["s0", "owl"]) == ""
    gallery.enroll("s0", at((0, 0)))  # 99 classes are left
    assert "of 99 classes 98 would be left" in gallery.shortage([" s1 "])
    answers = gallery.enroll(["s1", "owl"], at((90, 5), (0, 400)), guard="refuse")
    assert [answer.is_enrolled for answer in answers] == [False, True]
    assert "needs 99; nothing could be answered until 1 more are brought" in answers[0].reason
    assert gallery.identify(at((0, 400)))[0].label == "owl"
    (answer,) = gallery.enroll("s1", at((90, 5)))
    assert answer.is_enrolled
    assert answer.reason == answers[0].reason
    with pytest.raises(NotCalibrated, match=r"needs at least 99 .* got 98 .*add 1, or ask for"):
        gallery.identify(at((0, 400)))
    gallery.undo()
    assert gallery.identify(at((0, 400)))[0].label == "owl"


def test_a_gallery_of_before_that_promised_more_than_its_classes_carry_says_what_is_missing(
    make_gallery: Make,
) -> None:
    gallery = make_gallery(strangers=False)
    gallery.enroll("owl", at((0, 0)))
    far = np.stack([np.arange(200.0) + 100, np.zeros(200)], axis=1)
    gallery.calibrate(0.1, strangers=far, groups=[f"s{i // 20}" for i in range(200)])
    gallery.access.change("calibrate", lambda writer: writer.set("target_fpir", 0.01))
    with Gallery.open(gallery.access.location.folder) as opened:
        for act in (opened.identify, opened.identify_set, lambda rows: opened.verify("owl", rows)):
            with pytest.raises(
                NotCalibrated, match=r"got 10 \(200 probes\); add 89, or ask for 0.09"
            ):
                act(at((0, 0)))
        assert opened.calibrate(0.1).num_classes == 10
        assert opened.identify(at((0, 0)))[0].label == "owl"


def test_a_confidence_is_kept_with_the_gallery(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    gallery.enroll("owl", at((0, 0)))
    far = np.stack([np.arange(400.0) + 100, np.zeros(400)], axis=1)
    average = gallery.calibrate(0.01, strangers=far)
    sure = gallery.calibrate(0.01, confidence=0.95)
    assert sure.value < average.value
    assert (sure.confidence, average.confidence) == (0.95, None)
    assert sure.level is not None
    assert sure.level < average.target_fpir == average.level
    with Gallery.open(gallery.access.location.folder) as anew:
        assert anew.threshold == sure
    with pytest.raises(NotCalibrated, match=r"a confidence of 0.999 needs at least 688"):
        gallery.calibrate(0.01, confidence=0.999)
    with pytest.raises(InvalidInput, match="a confidence needs independent strangers"):
        gallery.calibrate(0.5, basis="leave-one-out", confidence=0.9)
    assert gallery.calibrate(0.01).confidence is None


def test_leave_one_out_asks_each_exemplar_about_the_other_classes(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    rows = np.array([[float(i), 0.0] for i in range(10)] + [[float(i), 100.0] for i in range(10)])
    gallery.enroll(["low"] * 10 + ["high"] * 10, rows)
    with pytest.raises(NotCalibrated, match=r"got 2 \(20 probes\); add 17, or ask for 0.67"):
        gallery.calibrate(0.1, basis="leave-one-out")
    threshold = gallery.calibrate(0.7, basis="leave-one-out")
    assert (threshold.num_trials, threshold.num_classes) == (20, 2)
    assert threshold.value == np.nextafter(100.0, 0)
    gallery.enroll("mid", at((0, 60)))
    assert (gallery.threshold.num_trials, gallery.threshold.num_classes) == (21, 3)
    assert gallery.threshold.value < 60


def test_a_set_is_one_decision_and_one_odd_picture_does_not_spoil_it(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    far = np.zeros((999, 2))
    far[:, 0] = np.arange(999) + 100.0
    gallery.calibrate(0.01, strangers=far)
    gallery.enroll(["owl", "wren"], at((0, 0), (0, 300)))
    answer = gallery.identify_set(at((0, 1), (1, 0), (0, 2), (110, 0), (np.nan, 1)), name="track")
    assert (answer.decision, answer.label, answer.name) == ("identified", "owl", "track")
    assert answer.p_value is not None
    assert answer.p_value <= 0.01
    assert gallery.identify_set(at((500, 0), (510, 0))).decision == "unknown"
    assert gallery.identify_set(at((np.nan, 0))).decision == "not_assessable"
    assert gallery.identify_set(np.zeros((0, 2))).decision == "not_assessable"


def test_a_set_of_one_is_the_probe_itself(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll(["owl", "wren"], at((0, 0), (40, 0)))
    for x in np.linspace(-80, 130, 43):
        single, together = gallery.identify(at((x, 1)))[0], gallery.identify_set(at((x, 1)))
        assert (single.decision, single.label) == (together.decision, together.label), x
        assert single.p_value == together.p_value


def test_verifies_against_the_threshold_of_the_class(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll(["owl", "wren"], at((0, 0), (90, 0)))
    yes, no, broken = gallery.verify("owl", at((20, 0), (150, 0), (np.inf, 0)), target_fmr=0.01)
    assert yes.is_accepted
    assert yes.distance == 20
    assert yes.threshold is not None
    assert yes.threshold.value == np.nextafter(100.0, 0)  # wren does not matter
    assert not no.is_accepted
    assert (broken.is_accepted, broken.distance) == (False, None)
    with pytest.raises(NoSuchClass, match="did you mean 'owl'"):
        gallery.verify("owll", at((0, 0)))
    with pytest.raises(NotCalibrated, match="needs at least 999"):
        gallery.verify("owl", at((0, 0)), target_fmr=0.001)


def test_what_a_class_is_not_rules_it_out_and_what_is_ignored_rules_out_all(
    make_gallery: Make,
) -> None:
    gallery = make_gallery()
    gallery.enroll(["owl", "wren"], at((0, 0), (10, 0)))
    gallery.enroll("owl", at((2, 0)), role="not")
    (answer,) = gallery.identify(at((1.5, 0)))
    assert answer.label == "wren"  # closer to what no owl is
    assert answer.reason.endswith(
        "; 'owl' at 1.5 is ruled out by exemplar 3 at 0.5, an example of what it is not"
    )
    assert "exemplar 3" in gallery.identify_set(at((1.5, 0), (1.4, 0))).reason
    assert "ruled out" not in gallery.identify(at((0.5, 0)))[0].reason
    assert gallery.identify(at((0.5, 0)))[0].label == "owl"
    gallery.enroll("", at((1.5, 1)), role="ignore")
    (answer,) = gallery.identify(at((1.5, 0.9)))
    assert (answer.decision, answer.candidates) == ("unknown", ())
    assert answer.reason == (
        "every class is ruled out; a class at 1.749 is ruled out by exemplar 4 at 0.1, an example "
        "of what is to be ignored"
    )
    gallery.undo()
    assert gallery.identify(at((1.5, 0.9)))[0].label == "wren"
    owl, nobody = gallery.enroll(["owl", "nobody"], at((1, 2), (1, 1)), role="not")
    assert owl.is_enrolled
    assert not nobody.is_enrolled
    assert nobody.reason.startswith("expected an enrolled class to say what it is not")


def test_the_same_content_is_one_exemplar(make_gallery: Make) -> None:
    gallery = make_gallery()
    first, again = gallery.enroll("owl", at((0, 0), (0, 0)), content_hashes=["h", "h"])
    assert first.is_enrolled
    assert (again.is_enrolled, again.exemplar_id) == (False, first.exemplar_id)
    (later,) = gallery.enroll("owl", at((0, 0)), content_hashes=["h"])
    assert (later.exemplar_id, later.reason) == (
        first.exemplar_id,
        "the same content is enrolled already",
    )
    (other,) = gallery.enroll("wren", at((0, 0)), content_hashes=["h"])
    assert (other.is_enrolled, other.reason) == (
        False,
        "the same content is enrolled as 'owl'; use reassign or merge",
    )
    assert [row.label for row in gallery.labels()] == ["owl"]


def test_each_item_of_a_call_fails_by_itself(make_gallery: Make) -> None:
    gallery = make_gallery(distance=Cosine(), strangers=False)
    answers = gallery.enroll("owl", at((1, 0), (np.inf, 0), (0, 0), (1e300, 1), (3, 4)))
    assert [a.is_enrolled for a in answers] == [True, False, False, False, True]
    assert [a.reason for a in answers[1:4]] == [
        "the embedding is not finite",
        "the embedding is zero and has no direction",
        "the embedding has numbers above 1e+15",
    ]
    with gallery.access.reading() as reader:
        kept = reader.embeddings([answers[4].exemplar_id or 0])
    assert np.allclose(kept, [[0.6, 0.8]], atol=1e-7)


def test_each_label_of_a_call_fails_by_itself(make_gallery: Make) -> None:
    gallery = make_gallery()
    labels = ["owl ", "", "a\nb", "\u00a0owl", "x" * 501, None, 3.0, "3"]
    answers = gallery.enroll(labels, at(*((i, 0) for i in range(8))))
    assert [a.is_enrolled for a in answers] == [True, False, False, True, False, False, True, True]
    assert {a.reason[:16] for a in answers if not a.is_enrolled} == {
        "a label must hav",
        "expected text, a",
    }
    assert {row.label: row.num_exemplars for row in gallery.labels()} == {"owl": 2, "3": 2}
    assert len(gallery.exemplars("owl\u2003")) == 2


def test_strangers_count_by_their_label_however_it_is_written(make_gallery: Make) -> None:
    near, far = at((0.1, 0)), at(*((40 + i, 0) for i in range(99)))
    values = []
    for i, label in enumerate(("owl", "owl ", "\u2003owl", "owl\u00a0")):
        gallery = make_gallery(f"g{i}", strangers=False)
        gallery.enroll("owl", at((0, 0)))
        groups = [label, *map(str, range(99))]
        values.append(gallery.calibrate(0.01, strangers=np.concatenate([near, far]), groups=groups))
    assert {threshold.num_trials for threshold in values} == {99}
    assert len({threshold.value for threshold in values}) == 1


def test_content_that_contradicts_is_refused_with_its_row(make_gallery: Make) -> None:
    gallery = make_gallery()
    (owl,) = gallery.enroll("owl", at((0, 0)), content_hashes=["h"])
    gallery.enroll("wren", at((9, 0)))
    asked: tuple[tuple[Role, str], ...] = (("not", "owl"), ("ignore", ""), ("exemplar", "wren"))
    for role, label in asked:
        (answer,) = gallery.enroll(label, at((0, 0)), content_hashes=["h"], role=role)
        assert (answer.is_enrolled, answer.code) == (False, "conflict"), role
        assert answer.exemplar_id == owl.exemplar_id
        assert "the same content is enrolled as 'owl'" in answer.reason
    (answer,) = gallery.enroll("wren", at((0, 0)), content_hashes=["h"], role="not")
    assert answer.is_enrolled  # it is an owl and no wren
    gallery.enroll("owl", at((5, 5)), content_hashes=["n"], role="not")
    gallery.enroll("", at((6, 6)), content_hashes=["i"], role="ignore")
    for content, told in (("n", "what 'owl' is not"), ("i", "to be ignored")):
        (answer,) = gallery.enroll("owl", at((5, 5)), content_hashes=[content])
        assert (answer.is_enrolled, answer.code) == (False, "conflict")
        assert answer.reason == f"the same content is an example of {told}; take that out first"
    first, other = gallery.enroll(["a", "b"], at((20, 1), (20, 1)), content_hashes=["s", "s"])
    assert first.is_enrolled
    assert (other.is_enrolled, other.code) == (False, "conflict")


@pytest.mark.parametrize(
    ("labels", "rows", "message"),
    [
        ("", at((0, 0)), "a label must have 1 to 500 characters"),
        ("a\nb", at((0, 0)), "no control characters"),
        ("x" * 501, at((0, 0)), "1 to 500 characters"),
        (["a"], at((0, 0), (1, 1)), "expected 2 labels, one per embedding, got 1"),
        ("a", np.zeros((1, 3)), r"expected embeddings of shape \(N, 2\)"),
        ("a", np.array([["x", "y"]]), "a number type"),
        (3, at((0, 0)), "a label for all, or one per embedding, got int"),
    ],
)
def test_refuses_calls_that_make_no_sense(
    make_gallery: Make, labels: str, rows: np.ndarray, message: str
) -> None:
    gallery = make_gallery()
    with pytest.raises(InvalidInput, match=message):
        gallery.enroll(labels, rows)
    assert gallery.labels() == []


def test_labels_of_any_script_in_any_spelling_are_one_class(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    gallery.enroll(["cafe\u0301", "caf\u00e9 ", "猫/Katze"], at((0, 0), (1, 0), (2, 0)))
    assert [(row.label, row.num_exemplars) for row in gallery.labels()] == [
        ("caf\u00e9", 2),
        ("猫/Katze", 1),
    ]


def test_retention_dates_are_kept(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", at((0, 0)), expires=date(2030, 1, 2))
    gallery.enroll("owl", at((0, 1)))
    assert gallery.erase_expired(date(2030, 1, 1)) is None
    receipt = gallery.erase_expired(date(2030, 1, 2))
    assert receipt is not None
    assert (receipt.num_exemplars, receipt.num_classes) == (1, 0)
    assert [row.expires for row in gallery.exemplars("owl")] == [None]


def test_an_undo_that_a_later_change_forbids_names_that_change(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", at((0, 0)))
    gallery.rename("owl", "wren")
    gallery.rename("wren", "robin")
    renamed, again = gallery.history(last=2)
    with pytest.raises(UndoConflict, match=f"change {again.id} changed the same class since"):
        gallery.undo(renamed.id)
    gallery.undo()
    gallery.undo(renamed.id)
    assert [row.label for row in gallery.labels()] == ["owl"]
    with pytest.raises(GalleryError, match="was undone already"):
        gallery.undo(renamed.id)


def test_an_undo_never_leaves_exemplars_in_a_class_that_is_gone(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", at((0, 0)))
    first = gallery.history(last=1)[0].id
    gallery.enroll("owl", at((0, 1)))
    with pytest.raises(UndoConflict, match="class 'owl' would be gone"):
        gallery.undo(first)
    assert gallery.labels()[0].num_exemplars == 2


def test_an_undo_can_be_undone(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", at((0, 0)))
    gallery.undo()
    assert gallery.labels() == []
    gallery.undo(gallery.history(last=1)[0].id)
    assert [row.label for row in gallery.labels()] == ["owl"]


def test_nothing_to_undo_and_no_such_change_say_so(make_gallery: Make) -> None:
    gallery = make_gallery(strangers=False)
    with pytest.raises(GalleryError, match="no change left to undo"):
        gallery.undo()
    with pytest.raises(GalleryError, match="has no change 77"):
        gallery.undo(77)
    with pytest.raises(GalleryError, match="made the gallery and cannot be undone"):
        gallery.undo(1)


def test_changes_name_what_they_cannot_find(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll(["owl", "wren"], at((0, 0), (9, 9)))
    with pytest.raises(NoSuchClass, match="no class 'wrem'; did you mean 'wren'"):
        gallery.remove("wrem")
    with pytest.raises(GalleryError, match="to join the two use `ilk gallery merge`"):
        gallery.rename("owl", "wren")
    with pytest.raises(InvalidInput, match="expected two classes to merge"):
        gallery.merge("owl", "owl")
    with pytest.raises(InvalidInput, match="and 2 is of another class"):
        gallery.split("owl", [1, 2], "robin")
    with pytest.raises(InvalidInput, match="no exemplar 9"):
        gallery.reassign([9], "owl")
    assert len(gallery.history()) == 3  # create, calibrate, enroll


def test_erased_content_stays_out_and_erased_labels_are_nowhere(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll(["Zaphod", "owl"], at((1.25, 7.5), (0, 0)), content_hashes=["h1", "h2"])
    gallery.rename("Zaphod", "Zarquon")
    gallery.identify(at((0, 0)))
    receipt = gallery.erase("Zarquon")
    assert (receipt.num_classes, receipt.num_exemplars) == (1, 1)
    (again,) = gallery.enroll("other", at((1.25, 7.5)), content_hashes=["h1"])
    assert "erased from this gallery for good" in again.reason
    with pytest.raises(NoSuchClass):
        gallery.erase("Zarquon")
    row = np.array([1.25, 7.5], np.float32).tobytes()
    for file in gallery.access.location.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert b"Zaphod" not in data, file
            assert b"Zarquon" not in data, file
            assert row not in data, file
    assert [row.label for row in gallery.labels()] == ["owl"]


def test_a_class_that_was_removed_can_still_be_erased(make_gallery: Make) -> None:
    gallery = make_gallery()
    gallery.enroll("owl", at((0, 0)))
    gallery.remove("owl")
    assert gallery.erase("owl").num_exemplars == 1
    with pytest.raises(InvalidInput, match="nothing was named"):
        gallery.erase()


def test_two_openings_see_each_other_at_once(make_gallery: Make, tmp_path: Path) -> None:
    first = make_gallery()
    with Gallery.open(tmp_path / "g") as second:
        first.enroll("owl", at((0, 0)))
        assert second.identify(at((0, 0)))[0].label == "owl"
        second.rename("owl", "wren")
        assert first.identify(at((0, 0)))[0].label == "wren"
        first.remove("wren")
        assert second.identify(at((0, 0)))[0].label is None


@pytest.mark.parametrize("templates", ["every", "mean", "medoids:2"])
@pytest.mark.parametrize("distance", [Euclidean(), Cosine(), Hyperbolic()], ids=lambda d: d.name)
def test_following_changes_ends_where_a_fresh_start_begins(
    make_gallery: Make, tmp_path: Path, templates: str, distance: object
) -> None:
    rng = np.random.default_rng(5)
    centers = rng.normal(size=(12, 4))
    gallery = make_gallery(distance=distance, size=4, strangers=False, templates=templates)
    gallery.calibrate(0.1, strangers=rng.normal(size=(60, 4)))
    for round_ in range(3):
        rows = centers + 0.2 * rng.normal(size=(12, 4))
        gallery.enroll([f"c{i}" for i in range(12)], rows)
        gallery.identify(rows)
        gallery.merge(f"c{round_}", f"c{round_ + 3}")
        gallery.remove(f"c{round_ + 6}")
        gallery.identify(rows)
    probes = centers + 0.2 * rng.normal(size=(12, 4))
    mine = gallery.identify(probes)
    with Gallery.open(tmp_path / "g") as fresh:
        assert fresh.identify(probes) == mine
        assert fresh.threshold == gallery.threshold


def test_a_place_that_holds_something_is_left_alone(make_gallery: Make, tmp_path: Path) -> None:
    make_gallery()
    binding = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    with pytest.raises(GalleryError, match="found a gallery; choose another place"):
        Gallery.create(tmp_path / "g", binding)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear")
    with pytest.raises(GalleryError, match="found something else"):
        Gallery.create(tmp_path / "notes", binding)
    with pytest.raises(ForeignGallery, match="found a folder without a gallery"):
        Gallery.open(tmp_path / "notes")
    with pytest.raises(ForeignGallery, match="found nothing"):
        Gallery.open(tmp_path / "nowhere")
    with pytest.raises(ForeignGallery, match="found a file"):
        Gallery.open(tmp_path / "notes" / "diary.txt")


def test_a_lost_pointer_says_what_to_write_into_it(make_gallery: Make, tmp_path: Path) -> None:
    make_gallery().close()
    (tmp_path / "g" / "CURRENT").write_text("eleven")
    with pytest.raises(DamagedGallery, match=r"write the number .* \(there are: 1\)"):
        Gallery.open(tmp_path / "g")


def test_an_encoder_of_another_kind_is_refused(make_gallery: Make) -> None:
    facts = make_gallery().access.store.facts
    for other in (
        Binding(distance=Cosine(), embedding_size=2, encoder_fingerprint="grid"),
        Binding(distance=Euclidean(), embedding_size=3, encoder_fingerprint="grid"),
        Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="other"),
    ):
        with pytest.raises(WrongEncoder, match="or move it with `ilk gallery migrate`"):
            other.require(facts)


def test_distances_to_given_classes_are_those_of_the_closest(make_gallery: Make) -> None:
    rng = np.random.default_rng(8)
    gallery = make_gallery(strangers=False)
    gallery.enroll([f"c{i % 6}" for i in range(24)], rng.integers(0, 6, (24, 2)).astype(float))
    gallery.enroll(["c0", "c3"], at((2, 2), (4, 1)), role="not")
    gallery.enroll("", at((5, 5)), role="ignore")
    probes = rng.integers(0, 7, (60, 2)).astype(float)
    with gallery.access.fresh() as state:
        searcher, members = state.live.searcher, state.live.members
        found = closest_classes(searcher, members, probes, 6)
        given = class_distances(searcher, members, Euclidean(), probes, range(1, 7))
    is_found = found.class_ids >= 0
    assert is_found.any()
    assert not is_found.all()  # something is ruled out
    assert np.array_equal(given, _by_class(found.class_ids, found.distances))


def _by_class(class_ids: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return (Q, 6) distances by class id 1 to 6, infinite where a class is not among them."""
    result = np.full((len(class_ids), 6), np.inf)
    probe, column = np.nonzero(class_ids >= 0)
    result[probe, class_ids[probe, column] - 1] = distances[probe, column]
    return result
