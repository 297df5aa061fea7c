"""`ilk gallery history` in words: what was what at the time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from ilk.cli.main import ilk
from ilk.distances import Euclidean
from ilk.gallery import Binding, Gallery


def told(place: Path, last: int = -1) -> list[str]:
    """Return the lines of the history."""
    arguments = ["gallery", "history", str(place), "--last", str(last)]
    done = CliRunner().invoke(ilk, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_the_history_tells_what_was_what_at_the_time(tmp_path: Path) -> None:
    """Labels as they were called then, classes and roles, and settings in words."""
    bound = Binding(distance=Euclidean(), embedding_size=1, encoder_fingerprint="a ruler")
    with Gallery.create(tmp_path / "g", bound, actor="ann") as gallery:
        gallery.enroll(["jay", "jay", "tit"], np.array([[1.0], [2], [9]]))
        gallery.enroll("jay", np.array([[3.0]]), role="not")
        gallery.enroll("", np.array([[4.0]]), role="ignore")
        gallery.rename("jay", "blue jay")
        gallery.merge("tit", "blue jay")
        gallery.set_expiry(date(2990, 1, 2), exemplars=[1])
        gallery.undo()
        with gallery.access.store.changing("migrate") as writer:
            facts = {"distance": {"name": "cosine"}, "tags": ["a", None, True], "size": 0.25}
            writer.set("migrated_from", facts)
    lines = told(tmp_path / "g")
    for words in (
        "2 exemplars of 'jay' in, 1 exemplar of 'tit' in",
        "2 classes ('jay', 'tit') in",
        "1 example of what 'jay' is not in",
        "1 example to ignore in",
        "label 'jay' to 'blue jay'",
        "1 exemplar from 'tit' to 'blue jay'",
        "1 class ('tit') out",
        "1 exemplar: expires none to 2990-01-02",
        "migrated from distance name cosine, tags a and none and yes, size 0.25",
    ):
        assert any(words in line for line in lines), words
    assert not any(sign in line for line in lines for sign in ("{", "None", "True"))
    last = told(tmp_path / "g", last=2)[-2:]
    assert [word in line for line, word in zip(last, ("undo", "migrate"), strict=True)] == [
        True
    ] * 2
