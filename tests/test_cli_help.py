"""Help: no line contradicts another, every option says what it does, every example parses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from ilk.cli.main import ilk


def commands(
    command: click.Command = ilk, path: tuple[str, ...] = ("ilk",)
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands())


def told(command: click.Command, width: int = 100) -> str:
    context = click.Context(command, info_name="x", terminal_width=width, max_content_width=width)
    return command.get_help(context)


def parse(words: list[str]) -> None:
    """Parse a command line as a whole, and run nothing."""
    command: click.Command = ilk
    context: click.Context | None = None
    name, *arguments = words
    while True:
        context = command.make_context(name, arguments, parent=context)
        left = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not left:
            return
        found_name, found, arguments = command.resolve_command(context, left)
        assert found_name is not None
        assert found is not None
        name, command = found_name, found


def examples(text: str) -> list[str]:
    """The lines of a text that start with ilk, continued ones joined, comments off."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line.strip() for line in lines if re.match(r"\s+ilk [a-z-]+( |$)", line)]


@pytest.mark.parametrize("path", [path for path in ALL if isinstance(ALL[path], click.Group)])
def test_a_group_says_of_a_command_what_that_says_of_itself(path: str) -> None:
    group = ALL[path]
    assert isinstance(group, click.Group)
    listed = " ".join(told(group, 200).split())
    for name in group.list_commands(click.Context(group)):
        own = (ALL[f"{path} {name}"].help or "").split("\n\n")[0].replace("\n", " ")
        assert f"{name} {own}" in listed, f"{path} {name}: {own}"


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_does_and_nothing_is_left_of_markup(path: str) -> None:
    command = ALL[path]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (parameter.help or "").endswith((".", "`.")), parameter.name
    for width in (60, 80, 120):
        assert "\\b" not in told(command, width)
        assert "\b" not in told(command, width)


def test_examples_of_help_can_be_copied_at_any_width() -> None:
    found = 0
    for path, command in ALL.items():
        for width in (60, 80, 120):
            for line in examples(told(command, width)):
                parse(shlex.split(line))
                assert line.startswith(path), line
                found += 1
    assert found >= 9


@pytest.mark.parametrize("path", ALL)
def test_commands_that_help_mentions_exist_with_their_options(path: str) -> None:
    texts = [ALL[path].help or ""]
    texts += [p.help or "" for p in ALL[path].params if isinstance(p, click.Option)]
    for text in texts:
        for mentioned in re.findall(r"`(ilk [^`]+)`", text):
            words = mentioned.split()
            names = [word for word in words if not word.startswith("-") and word.islower()]
            command = ALL[" ".join(names)]
            options = {name for p in command.params for name in p.opts}
            assert options.issuperset(word for word in words if word.startswith("--")), mentioned
