"""The guard: what is closer to another class than to its own, or an outlier, does not slip in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gallery.conftest import MakeGallery

from ilk.gallery import Gallery
from ilk.gallery.live import Live
from ilk.searcher import Neighbors, Searcher


def on_a_line(places: list[float]) -> np.ndarray:
    return np.array([[x, 0.0] for x in places])


@pytest.fixture
def gallery(make_gallery: MakeGallery) -> Gallery:
    """Owls around 0 and gulls around 20; the threshold is just below 2."""
    made = make_gallery(strangers=False)
    made.enroll("owl", on_a_line([0, 1, 2]))
    made.enroll("gull", on_a_line([20, 21, 22]))
    made.calibrate(0.01, strangers=np.stack([np.zeros(99), 2 + np.arange(99.0)], axis=1))
    return made


def reasons(gallery: Gallery, labels: str | list[str], places: list[float]) -> list[str]:
    answers = gallery.enroll(labels, on_a_line(places))
    assert all(answer.is_enrolled for answer in answers)
    return [answer.reason for answer in answers]


def test_what_fits_is_let_in_without_a_word(gallery: Gallery) -> None:
    assert reasons(gallery, ["owl", "gull", "hen", "hen"], [2.5, 19.5, 50, 51]) == [""] * 4


def test_closer_to_another_class(gallery: Gallery) -> None:
    (reason,) = reasons(gallery, "owl", [19.0])
    assert reason == "it is at 1 from 'gull', closer than to its own class"


def test_close_to_another_class_and_closer_to_its_own(gallery: Gallery) -> None:
    gallery.enroll("hen", on_a_line([4.5]))
    assert reasons(gallery, "owl", [3.0]) == [""]


def test_an_outlier(gallery: Gallery) -> None:
    assert reasons(gallery, "owl", [10.0]) == ["it is an outlier: nothing of its class is within 2"]


def test_of_a_class_of_one_nobody_is_an_outlier(gallery: Gallery) -> None:
    assert reasons(gallery, "hen", [50.0]) == [""]
    assert reasons(gallery, "hen", [60.0]) == [""]
    assert "outlier" in reasons(gallery, "hen", [70.0])[0]


def test_a_new_class_within_the_threshold_of_another(gallery: Gallery) -> None:
    (reason,) = reasons(gallery, "hen", [23.0])
    assert reason == (
        "it is at 1 from 'gull', within the threshold 2, and nothing else is of its own class"
    )


def test_a_new_class_next_to_another_that_is_closer_to_itself(gallery: Gallery) -> None:
    """What comes in the same call is its own class."""
    assert reasons(gallery, "hen", [23.0, 23.5, 24.0]) == [""] * 3


def test_the_call_itself_shows_who_is_in_the_wrong_class(gallery: Gallery) -> None:
    found = reasons(gallery, ["hen"] * 3 + ["dove"] * 4, [50, 50.25, 50.5, 60, 61, 62, 51])
    assert found[:6] == [""] * 6
    assert found[6] == "it is at 0.5 from 'hen', closer than to its own class"


def test_the_call_itself_shows_outliers(gallery: Gallery) -> None:
    found = reasons(gallery, "hen", [50, 51, 52, 90])
    assert found[:3] == [""] * 3
    assert "outlier" in found[3]


def test_new_classes_of_one_call_do_not_warn_of_each_other(gallery: Gallery) -> None:
    """Each is all of its class; the threshold is of the gallery before them."""
    assert reasons(gallery, ["hen", "dove"], [50, 51]) == ["", ""]


def test_a_copy_in_the_call_does_not_vouch(gallery: Gallery) -> None:
    first, second = gallery.enroll("owl", on_a_line([10, 10]), content_hashes=["x", "x"])
    assert "outlier" in first.reason
    assert not second.is_enrolled


def test_strict_refuses_and_lets_the_others_in(gallery: Gallery) -> None:
    answers = gallery.enroll("owl", on_a_line([19, 0.5, 10]), guard="refuse")
    assert [a.is_enrolled for a in answers] == [False, True, False]
    assert "'gull'" in answers[0].reason
    assert "outlier" in answers[2].reason
    assert len(gallery.exemplars("owl")) == 4


def test_a_new_label_that_looks_like_another_is_told(gallery: Gallery) -> None:
    assert reasons(gallery, ["Owl", "emu", "em u", "emu"], [60, 70, 80, 71]) == [
        "its label 'Owl' and that of class 'owl' differ by case only",
        "",
        "its label 'em u' and that of class 'emu' differ by blanks only",
        "",
    ]
    (reason,) = reasons(gallery, "\u043ewl", [90.0])
    assert reason.startswith(r"its label '\u043ewl' and that of class")
    assert reasons(gallery, "Owl", [61.0]) == [""]  # it is a class by now
    (reason,) = reasons(gallery, "hen\u200b", [95.0])
    assert reason == r"its label 'hen\u200b' has characters that cannot be seen"
    (answer,) = gallery.enroll("GULL", on_a_line([97.0]), guard="refuse")
    assert not answer.is_enrolled


def test_labels_are_looked_at_without_a_threshold(make_gallery: MakeGallery) -> None:
    made = make_gallery("h", strangers=False)
    made.enroll("owl", on_a_line([0]))
    assert "differ by case" in reasons(made, "OWL", [1])[0]


def test_off_says_nothing(gallery: Gallery) -> None:
    answers = gallery.enroll("owl", on_a_line([19, 10]), guard="off")
    assert [a.reason for a in answers] == ["", ""]


@pytest.mark.parametrize("role", ["not", "ignore"])
def test_what_bars_is_not_looked_at(gallery: Gallery, role: str) -> None:
    (answer,) = gallery.enroll("owl", on_a_line([20.5]), role=role)  # type: ignore[arg-type]
    assert (answer.is_enrolled, answer.reason) == (True, "")


def test_without_a_threshold_it_is_silent(make_gallery: MakeGallery) -> None:
    gallery = make_gallery(strangers=False)
    assert reasons(gallery, ["a", "a", "a", "b"], [0, 1, 500, 1.1]) == [""] * 4


def test_an_inadmissible_item_is_refused_for_its_own_reason(gallery: Gallery) -> None:
    broken, fine = gallery.enroll("owl", np.array([[np.nan, 0.0], [1.5, 0.0]]))
    assert broken.reason == "the embedding is not finite"
    assert (fine.is_enrolled, fine.reason) == (True, "")


def test_one_search_of_the_gallery_however_many_items(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gallery.access.fresh() as state:
        counting = Counting(state.live.searcher)
        monkeypatch.setattr(state.live, "searcher", counting)
        assert isinstance(state.live, Live)
    gallery.enroll(["owl"] * 30 + ["dove"] * 30, on_a_line([float(x) for x in range(60)]))
    assert counting.num_probes == 60


@dataclass
class Counting:
    """A searcher that counts what it is asked."""

    inner: Searcher
    num_probes: int = 0

    def __len__(self) -> int:
        return len(self.inner)

    def put(self, ids: np.ndarray, embeddings: np.ndarray) -> None:
        self.inner.put(ids, embeddings)

    def drop(self, ids: np.ndarray) -> None:
        self.inner.drop(ids)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        return self.inner.rows()

    def nearest(self, probes: np.ndarray, k: int) -> Neighbors:
        self.num_probes += len(probes)
        return self.inner.nearest(probes, k)


def test_its_own_class_may_be_the_third_at_the_same_distance(make_gallery: MakeGallery) -> None:
    """Found by Hypothesis: the two closest classes were both others, and none was closer."""
    gallery = make_gallery("tied", strangers=False)
    places = on_a_line([0.0, 2.0, 0.0])
    gallery.enroll(["a", "c", "b"], places, content_hashes=["1", "2", "3"], guard="off")
    gallery.calibrate(0.01, strangers=on_a_line([5.0 + x for x in range(99)]))
    (answer,) = gallery.enroll(["b"], on_a_line([1.0]))
    assert answer.reason == ""


NUMBERS = iter(range(10**6))
ITEMS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 40)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(before=ITEMS, call=ITEMS)
def test_by_its_definition(
    make_gallery: MakeGallery, before: list[tuple[str, int]], call: list[tuple[str, int]]
) -> None:
    gallery = make_gallery(f"g{next(NUMBERS)}", strangers=False)
    before, call = list(dict.fromkeys(before)), list(dict.fromkeys(call))
    old = [(label, float(x)) for label, x in before]
    new = [(label, x + 0.25) for label, x in call]
    hashes = [f"{label} {x}" for label, x in old + new]
    gallery.enroll(
        [c for c, _ in old],
        on_a_line([x for _, x in old]),
        content_hashes=hashes[: len(old)],
        guard="off",
    )
    strangers = np.stack([np.full(99, old[0][1]), 3.1 + np.arange(99.0)], axis=1)
    limit = gallery.calibrate(0.01, strangers=strangers).value
    answers = gallery.enroll(
        [c for c, _ in new], on_a_line([x for _, x in new]), content_hashes=hashes[len(old) :]
    )
    for at, answer in enumerate(answers):
        label, x = new[at]
        others = old + new[:at] + new[at + 1 :]
        own = [abs(x - y) for c, y in others if c == label]
        rivals = [abs(x - y) for c, y in (others if own else old) if c != label]
        is_closer = bool(rivals) and min(rivals) <= limit and min(rivals) < min(own, default=np.inf)
        is_outlier = len(own) >= 2 and min(own) > limit
        expected = "from" if is_closer else "outlier" if is_outlier else ""
        assert (expected in answer.reason) if expected else not answer.reason, (at, answer)
