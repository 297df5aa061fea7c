"""What findings advise can be typed: each command is one of ours, with the words where they go."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from ilk.cli.main import ilk
from ilk.gallery import commands

PLACE = "my gallery"


def parsed(line: str) -> dict[str, Any]:
    """Return what the command line makes of a command, without running it."""
    program, *words = shlex.split(line)
    assert program == "ilk"
    command: click.Command = ilk
    context = click.Context(ilk, info_name="ilk")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command.make_context(command.name, words).params


@pytest.mark.parametrize("place", [PLACE, "-g", "it's"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (lambda p: commands.merge(p, "-x", "barn owl"), {"label": "-x", "into": "barn owl"}),
        (lambda p: commands.remove(p, [12, 3]), {"exemplars": [12, 3], "label": None}),
        (lambda p: commands.enroll_more(p, "-x y"), {"label": "-x y", "sources": ("FILE...",)}),
        (lambda p: commands.calibrate(p), {"strangers": "SOURCE"}),
        (lambda p: commands.name_unknowns(p, [3, 5]), {"label": "LABEL", "ids": [3, 5]}),
        (lambda p: commands.discard_unknowns(p, [3, 5]), {"ids": [3, 5]}),
    ],
)
def test_each_is_a_command_of_ours(
    place: str, line: Callable[[str], str], expected: dict[str, Any]
) -> None:
    given = parsed(line(place))
    assert given["gallery"] == Path(place)
    assert {key: given[key] for key in expected} == expected
