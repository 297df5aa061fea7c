"""What commands print where the output is not UTF-8, and what a terminal never gets to see."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ilk.cli.main import ilk

ENCODINGS = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes, and files whose names hold a title for the terminal and a byte of no letter."""
    generator = np.random.default_rng(0)
    for label, names in (
        ("Łucja 😀", [*map("{}.png".format, range(1, 7)), "\x1b]0;owned\a\x1b[31m.png"]),
        ("Bob", ["1.png", "2.png", os.fsdecode(b"\xff.png"), "broken\n\x9b2J.png"]),
    ):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for name in names:
            Image.fromarray(generator.integers(0, 255, (4, 4), np.uint8)).save(
                tmp_path / "photos" / label / name
            )
    (tmp_path / "photos" / "Bob" / "broken\n\x9b2J.png").write_bytes(b"nothing")
    return tmp_path / "photos"


@pytest.fixture
def commands(
    photos: Path, artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[list[str]]:
    """Commands about them that should print anything they have."""
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))
    place = str(tmp_path / "gallery")
    for words in (
        ["gallery", "create", place, artifact_folder, "--target-fpir", "0.5"],
        ["enroll", place, photos],
    ):
        result = CliRunner().invoke(ilk, list(map(str, words)))
        assert result.exit_code == 0, result.output
    options = ["--exemplars", "1", "--on-unreadable", "skip"]
    evaluation = ["evaluate", str(artifact_folder), str(photos), *options]
    listed = [
        ["check", str(photos)],
        ["enroll", place, str(photos)],
        ["identify", place, str(photos)],
        ["embed", str(artifact_folder), str(photos), "--out", str(tmp_path / "rows.csv")],
        ["gallery", "list", place],
        ["gallery", "show", place, "Łucja 😀"],
        ["gallery", "health", place],
        ["gallery", "history", place],
        ["gallery", "info", place],
        ["artifact", "show", str(artifact_folder)],
        [*evaluation, "--report", str(tmp_path / "page.html")],
    ]
    listed[3] += ["--on-unreadable", "skip"]
    return [*listed, *([*words, "--json"] for words in listed)]


RUN = """
import json, sys
from ilk.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main.run()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
"""Runs commands in one process, as `ilk` does."""


def start(commands: list[list[str]], output: int, **extra: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN, json.dumps(commands)],
        stdout=output,
        stderr=subprocess.STDOUT,
        env=os.environ | extra,
    )


@pytest.mark.parametrize("environment", ENCODINGS, ids=["cp1252", "ascii", "locale C"])
def test_every_command_prints_what_the_output_cannot_hold(
    environment: dict[str, str], commands: list[list[str]]
) -> None:
    process = start(commands, subprocess.PIPE, **environment)
    told = process.communicate()[0].decode("ascii")
    assert process.returncode == 0, told[-3000:]
    assert "\\u0141ucja" in told
    assert "\\udcff.png" in told
    assert "# " in told
    assert "\x1b" not in told
    assert "]0;owned" in told


def test_a_terminal_never_gets_the_escapes_of_a_name(commands: list[list[str]]) -> None:
    """Bold titles are ilk's own; every other control sequence stands as text."""
    main, of_child = pty.openpty()
    process = start(commands, of_child, TERM="xterm", COLUMNS="100", PYTHONUTF8="1")
    os.close(of_child)
    told = bytearray()
    while True:
        try:
            told += os.read(main, 1 << 16)
        except OSError:  # nobody writes any more
            break
    os.close(main)
    text = told.decode()
    assert process.wait() == 0, text[-3000:]
    assert "\x1b]" not in text
    assert "\x1b[31m" not in text
    assert "\x9b" not in text
    assert "\a" not in text
    assert "\\x1b]0;owned\\x07\\x1b[31m.png" in text
    assert "\x1b[1m" in text
    assert "Łucja 😀" in text
    assert "█" in text
    assert "━" in text  # a bar
    assert "\\x1b[1m" not in text
    assert "\\r" not in text
