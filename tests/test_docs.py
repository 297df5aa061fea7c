"""What the documents show works: Python runs, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ilk.cli.main import ilk

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {"docs/training.md"}
"""Documents whose Python trains."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def snippets() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        if name_of(path) not in NOT_RUN:
            for code in re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
                yield name_of(path), code


def command_lines() -> Iterator[tuple[str, str]]:
    """Lines of code that begin with `ilk`, and such words in backticks, without those that stand
    for several (with [ or ...)."""
    for path in DOCUMENTS:
        text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
        lines = re.findall(r"^    (ilk .+)$", text, re.MULTILINE)
        lines += re.findall(r"`(ilk [a-z]+ [^`]*(?:GALLERY|FILE|SOURCE)[^`]*)`", text)
        for line in lines:
            if "[" not in line and "..." not in line and "|" not in line:
                yield name_of(path), line


def parse(words: list[str]) -> None:
    """Parse a command as click would, without running it."""
    command: click.Command = ilk
    context = click.Context(ilk, info_name="ilk")
    while isinstance(command, click.Group):
        if command.invoke_without_command and not words:
            break
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    paths = [p.type for p in command.params if isinstance(p.type, click.Path)]
    asked = [path.exists for path in paths]
    try:
        for path in paths:
            path.exists = False
        command.make_context(command.name, words)
    finally:
        for path, exists in zip(paths, asked, strict=True):
            path.exists = exists


@pytest.mark.parametrize(("document", "line"), list(command_lines()))
def test_commands_parse(document: str, line: str) -> None:
    parse(shlex.split(line, comments=True)[1:])


def test_the_check_of_commands_sees() -> None:
    assert len(list(command_lines())) > 20
    for line in ("gallery create a", "identify", "gallery calibrate g --target 0.1", "enrol g a"):
        with pytest.raises(click.UsageError):
            parse(line.split())


@pytest.mark.parametrize(("document", "code"), list(snippets()))
def test_python_runs(
    document: str,
    code: str,
    artifact_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact_folder.rename(tmp_path / "mine.ilk")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, document, "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]
