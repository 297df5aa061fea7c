"""What the page is told: every region, both promises, enrolling with a chosen box, undo."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.server.conftest import GAP, SIDE, Client, items_of, patch, pattern, scene

from ilk.errors import InvalidInput
from ilk.recognizer import Recognizer
from ilk.server import Answers, open_server


def box_of(position: int) -> str:
    """The box of a face in a `scene` of full-size patches."""
    x1 = GAP + position * (SIDE + GAP)
    return f"{x1},{GAP},{x1 + SIDE},{GAP + SIDE}"


def test_every_region_is_answered_with_its_place(client: Client) -> None:
    body = scene(patch("ada", 7), patch("tom"), patch("bob", 7), patch("cyd")[:, :8])
    told = client.told("identify", {"name": "party.png"}, body)
    assert [a["decision"] for a in told["answers"]] == [
        "identified",
        "unknown",
        "identified",
        "not_assessable",
    ]
    assert [a["label"] for a in told["answers"]] == ["ada", None, "bob", None]
    assert told["answers"][3]["code"] == "too_small"
    assert [a["name"] for a in told["answers"]] == [f"party.png #{i}" for i in range(1, 5)]
    for position, answer in enumerate(told["answers"][:3]):
        assert ",".join(f"{v:g}" for v in answer["region"]["box"]) == box_of(position)
    assert (told["width"], told["height"]) == (3 * (SIDE + GAP) + 8 + 2 * GAP, SIDE + 2 * GAP)


def test_the_promise_is_told_per_face_and_per_picture(client: Client) -> None:
    three = client.told("identify", body=scene(*(patch(p) for p in ("ada", "tom", "vic"))))
    assert three["num_compared"] == 3
    assert three["most_false_names"] == pytest.approx(0.15)
    per_face, per_picture = three["promises"]
    assert "at most 5 % of strangers' faces get a name" in per_face
    assert "all 3 faces" in per_picture
    assert "at most 15 %" in per_picture
    assert len(client.told("identify", body=scene(patch("ada")))["promises"]) == 1
    nobody = client.told("identify", body=scene(np.zeros((8, 8), np.uint8)))
    assert nobody["promises"] == []
    assert nobody["answers"][0]["code"] == "no_face"


def test_the_gallery_is_told(client: Client) -> None:
    told = client.told("gallery")
    assert told["name"] == "people.gallery"
    assert told["classes"] == [{"label": p, "num": 2} for p in ("ada", "bob", "cyd")]
    assert (told["noun"], told["is_whole"], told["keeps_crops"]) == ("face", False, False)
    assert told["threshold"]["target_fpir"] == 0.05


def test_the_face_in_the_box_is_enrolled_and_taken_back(
    client: Client, recognizer: Recognizer
) -> None:
    body = scene(patch("ada", 3), patch("tom"), patch("vic"))
    refused = client.told("enroll", {"label": "tom"}, body)["answer"]
    assert (refused["is_enrolled"], refused["code"]) == (False, "several_faces")
    done = client.told("enroll", {"label": "tom", "box": box_of(1), "name": "party.png"}, body)
    assert done["answer"]["is_enrolled"], done
    answers = client.told("identify", {"name": "x"}, scene(patch("tom", 1), patch("vic")))
    assert [a["label"] for a in answers["answers"]] == ["tom", None]
    (row,) = recognizer.gallery.exemplars("tom")
    assert row.name == "party.png"
    assert not row.has_crop
    client.told("undo", {"call": done["call"]})
    assert "tom" not in [c["label"] for c in client.told("gallery")["classes"]]
    status, _, told = client.ask("undo", {"call": done["call"]})
    assert (status, told["code"]) == (409, "nothing_to_undo")


def test_an_undo_of_somebody_elses_change_is_refused(
    client: Client, recognizer: Recognizer
) -> None:
    recognizer.enroll(items_of(["tom"], (0,)), call="theirs")
    status, _, told = client.ask("undo", {"call": "theirs"})
    assert (status, told["code"]) == (409, "nothing_to_undo")
    assert recognizer.gallery.exemplars("tom")


def test_an_undo_comes_too_late_after_another_change(
    client: Client, recognizer: Recognizer
) -> None:
    done = client.told("enroll", {"label": "tom"}, scene(patch("tom")))
    recognizer.gallery.remove("tom")
    status, _, told = client.ask("undo", {"call": done["call"]})
    assert (status, told["code"]) == (409, "gallery")
    assert "later" in told["what"] or "change" in told["what"]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"label": ""}, "label"),
        ({"label": "  "}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"label": "x" * 501}, "label"),
        ({"label": "tom", "box": "1,2,3"}, "box"),
        ({"label": "tom", "box": "1,2,3,nan"}, "box"),
        ({"label": "tom", "box": "9,2,3,5"}, "box"),
        ({"label": "tom", "box": "900,2,950,5"}, "box"),
    ],
)
def test_an_enrollment_that_is_not_clear_is_refused(
    client: Client, values: dict[str, str], word: str
) -> None:
    status, _, told = client.ask("enroll", values, scene(patch("tom")))
    assert status == 400
    assert word in told["what"]
    assert client.told("gallery")["num_classes"] == 3


def test_a_gallery_without_a_threshold_still_shows_where_faces_are(
    birds: Path, tmp_path: Path, recognizer: Recognizer
) -> None:
    with Recognizer.create(tmp_path / "new", birds, detector=recognizer.detector) as fresh:
        answers = Answers(fresh)
        told = answers.identify(scene(patch("ada"), patch("tom"), patch("bob")[:, :8]), "a.png")
        assert [a["code"] for a in told["answers"]] == [
            "not_calibrated",
            "not_calibrated",
            "too_small",
        ]
        assert all(a["region"] for a in told["answers"])
        done = answers.enroll(scene(patch("ada"), patch("tom")), "a.png", "tom", (40, 8, 64, 32))
        assert done["answer"]["is_enrolled"]
        said = answers.gallery()
        assert (said["threshold"], said["promise"]) == (None, "")
        assert said["reason"]


def test_a_gallery_of_whole_pictures_has_a_page_too(birds: Path, tmp_path: Path) -> None:
    with Recognizer.create(tmp_path / "birds", birds) as recognizer:
        answers = Answers(recognizer, keep_crops=True)
        assert answers.gallery()["is_whole"]
        (answer,) = answers.identify(scene(pattern("owl")), "owl.png")["answers"]
        assert answer["code"] == "not_calibrated"
        assert answers.enroll(scene(pattern("owl")), "owl.png", "an owl", None)["answer"][
            "is_enrolled"
        ]
        (row,) = recognizer.gallery.exemplars("an owl")
        assert row.has_crop


def test_what_is_seen_is_turned_as_a_person_sees_it(client: Client) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side; the camera was turned
    upright = Image.open(io.BytesIO(scene(patch("ada", 1), patch("bob", 1))))
    upright.rotate(90, expand=True).save(file, "JPEG", quality=100, subsampling=0, exif=exif)
    told = client.told("identify", body=file.getvalue())
    assert (told["width"], told["height"]) == upright.size


def test_questions_at_once_get_their_own_answers(client: Client) -> None:
    people = ["ada", "bob", "cyd", "tom"] * 6
    starts = threading.Barrier(8)

    def ask(at: int) -> Any:
        if at < 8:
            starts.wait(timeout=10)
        if at % 5 == 4:
            label = f"new {at}"
            return client.told("enroll", {"label": label}, scene(patch(label)))["answer"]["label"]
        return client.told("identify", body=scene(patch(people[at], at)))["answers"][0]["label"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    for at, answer in enumerate(answers):
        person = people[at] if people[at] != "tom" else None
        assert answer == (f"new {at}" if at % 5 == 4 else person), at
    assert client.told("gallery")["num_classes"] == 3 + 4


def test_a_gallery_of_arrays_has_no_page(recognizer: Recognizer, tmp_path: Path) -> None:
    class Sounds:
        """An encoder of arrays."""

        def __getattr__(self, name: str) -> Any:
            if name == "modality":
                return "array"
            return self

    class Fake:
        encoder = Sounds()

    with pytest.raises(InvalidInput, match="takes pictures, and this gallery's encoder"):
        Answers(Fake())  # type: ignore[arg-type]


def test_another_host_is_refused(recognizer: Recognizer) -> None:
    answers = Answers(recognizer)
    for host in ("0.0.0.0", "192.168.0.7", "example.org", "", "::"):
        with pytest.raises(InvalidInput, match="this machine only"):
            open_server(answers, host=host, port=0)
    with open_server(answers, port=0) as first:
        assert first.server_address[0] == "127.0.0.1"
        with pytest.raises(InvalidInput, match=r"cannot listen on port .*--port"):
            open_server(answers, port=first.port)
