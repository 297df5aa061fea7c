"""Public calls and commands refuse bad arguments in words of ilk, never by errors of Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ilk
from ilk.artifact import Artifact
from ilk.cli.main import ilk as command_line
from ilk.distances import Cosine, Euclidean, Hyperbolic
from ilk.errors import IlkError, InvalidInput
from ilk.gallery import Binding, Gallery
from ilk.items import Items
from ilk.recognizer import Recognizer


class Odd:
    """Of no kind that anything takes."""


HOSTILE: list[Any] = [
    *(None, -1, 0, 10**30, float("inf"), float("nan"), True, 3.5),
    *("", "x", "a" * 3000, "\udcff", b"x", Odd(), int),
    *([], [None], ["x"], [[1]], [-1], [10**30], {}, {"a": Odd()}, {1: 2}, ("x",)),
    *(np.zeros(0), np.zeros((2, 2, 2)), np.full((1, 3), np.nan), np.array(["a"])),
]
NOT_CALLED = {"close", "create", "open", "of", "import_"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of these are names of files that can be written."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


def refuse_or_answer(call: Callable[[], object]) -> None:
    """Errors of ilk are refusals, and those of the system about files; all others are faults."""
    try:
        answer = call()
    except (IlkError, OSError):
        return
    if isinstance(answer, Gallery | Recognizer):
        answer.close()


def calls_of(thing: object, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each public method with arguments that it takes."""
    for name in dir(type(thing)):
        is_property = isinstance(inspect.getattr_static(type(thing), name), property)
        if name.startswith("_") or name in NOT_CALLED or is_property:
            continue
        if not callable(getattr(thing, name)):
            continue
        parameters = inspect.signature(getattr(thing, name)).parameters.values()
        yield name, {p.name: known.get(p.name, p.default) for p in parameters}


def check_methods(thing: object, known: dict[str, Any]) -> int:
    count = 0
    for name, arguments in calls_of(thing, known):
        for replaced in arguments:
            for value in HOSTILE:
                options = {**arguments, replaced: value}
                refuse_or_answer(lambda n=name, o=options: getattr(thing, n)(**o))  # type: ignore[misc]
                count += 1
    return count


def test_a_gallery(tmp_path: Path) -> None:
    binding = Binding(encoder_fingerprint="a ruler", distance=Euclidean(), embedding_size=3)
    with Gallery.create(tmp_path / "g", binding) as gallery:
        for label in ("p", "q", "r"):
            gallery.enroll(label, np.eye(3) + ord(label))
        gallery.calibrate(0.5, basis="leave-one-out")
        known = {
            "label": "p",
            "embeddings": np.eye(3) + 5,
            "probes": np.eye(3),
            "exemplars": [1],
            "new": "n",
            "into": "q",
            "ids": [1],
            "change_id": 1,
            "path": tmp_path / "out.zip",
            "target_fpir": 0.5,
        }
        assert check_methods(gallery, known) > 500
    for value in HOSTILE:
        refuse_or_answer(lambda v=value: Gallery.create(tmp_path / "n", binding, templates=v))  # type: ignore[misc]
        refuse_or_answer(lambda v=value: Gallery.create(tmp_path / "m", v))  # type: ignore[misc]
        refuse_or_answer(lambda v=value: Gallery.open(v))  # type: ignore[misc]


def test_a_recognizer_and_an_artifact(artifact_folder: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 4, 4, 3), np.uint8)
    items = Items.from_arrays(list(pixels), ["p", "p", "q", "q", "r", "r"])
    with Recognizer.create(tmp_path / "g", artifact_folder) as recognizer:
        recognizer.enroll(items)
        recognizer.calibrate(0.5)
        known = {"items": items, "label": "p", "answers": [], "target_fpir": 0.5}
        assert check_methods(recognizer, known) > 300
    artifact = Artifact.load(artifact_folder)
    known = {"name": "CARD.md", "path": tmp_path / "copy"}
    assert check_methods(artifact, known) > 20
    assert check_methods(items, {"keep": bool, "labels": ["p"], "indices": [0]}) > 20


def test_functions(artifact_folder: Path, tmp_path: Path) -> None:
    artifact = Artifact.load(artifact_folder)
    items = Items.from_arrays([np.zeros((4, 4, 3), np.uint8)], ["p"])
    quick = ilk.EvaluationSettings(num_bootstraps=5, num_draws=1)
    rows, labels = np.random.default_rng(0).normal(size=(24, 3)), [f"c{i % 6}" for i in range(24)]
    calls: list[tuple[Callable[..., object], dict[str, Any]]] = [
        (ilk.open_source, {"source": str(tmp_path)}),
        (ilk.open_encoder, {"artifact": artifact, "num_threads": 1, "batch_size": 2}),
        (ilk.embed_items, {"encoder": ilk.open_encoder(artifact), "items": items, "batch_size": 2}),
        (ilk.evaluate, dict(embeddings=rows, labels=labels, distance=Cosine(), settings=quick)),
        (Items.from_arrays, {"contents": [np.zeros((4, 4, 3), np.uint8)], "labels": ["p"]}),
        (Hyperbolic, {"curvature": 1.0, "max_radius": 3.0}),
        (ilk.EvaluationSettings, vars(ilk.EvaluationSettings())),
    ]
    for function, arguments in calls:
        for name in arguments:
            for value in HOSTILE:
                options = {**arguments, name: value}
                refuse_or_answer(lambda f=function, o=options: f(**o))  # type: ignore[misc]


def test_an_error_of_python_is_told_by_its_arguments(tmp_path: Path) -> None:
    binding = Binding(encoder_fingerprint="a ruler", distance=Euclidean(), embedding_size=3)
    with Gallery.create(tmp_path / "g", binding) as gallery:
        gallery.enroll("p", np.eye(3))
        with pytest.raises(InvalidInput) as refused:
            gallery.enroll("q", np.eye(3) + 1, expires="tomorrow")  # type: ignore[arg-type]
        assert "tomorrow" in str(refused.value)
        assert {row.label for row in gallery.labels()} == {"p"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gallery", "remove", "g", "--exemplar", "1-99999999999"], "at most 1,000,000 ids"),
        (["gallery", "remove", "g", "--exemplar", "9-3"], "ranges that rise"),
        (["gallery", "remove", "g", "--exemplar", "9" * 30], "expected ids such as 7 or 3,5-8"),
        (["gallery", "undo", "g", "9" * 30], "1<=x<="),
        (["evaluate", "a", "s", "--draws", "999999999999"], "1<=x<=1000"),
        (["evaluate", "a", "s", "--seed", "-1"], "0<=x<="),
        (["identify", "g", "f", "--num-threads", "9" * 30], "1<=x<=1024"),
    ],
)
def test_numbers_out_of_range_are_refused_before_any_work(words: list[str], told: str) -> None:
    refused = CliRunner().invoke(command_line, words)
    assert refused.exit_code == 2
    assert told in refused.output


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.characters(exclude_characters="\0"), max_size=12), st.booleans())
def test_any_text_is_ids_or_refused(text: str, is_range: bool) -> None:
    word = f"1-{text}" if is_range else text
    found = CliRunner().invoke(
        command_line, ["unknown", "discard", "there is no gallery", "--", word]
    )
    assert isinstance(found.exception, SystemExit | IlkError), found.exception
    assert not isinstance(found.exception, click.ClickException)
