r"""Standard output and errors that write anything: what they cannot hold, or must not, is escaped.

A name may hold a letter that the encoding of a pipe lacks, or a control sequence that a terminal
would obey. Both come out as Python writes them in a string, such as \u0141 and \x1b.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, final

import click

__all__ = ["Output", "bar_mark", "echo_bold", "escape_output"]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of writing."""


@final
class Output:
    r"""A text stream that passes on all but control characters, which it escapes.

    Progress bars, which move the cursor, find the stream itself as `rich_proxied_file`.

    Args:
        stream: Where the text goes.

    Example:
        >>> import io
        >>> held = io.BytesIO()
        >>> output = Output(io.TextIOWrapper(held, "ascii", errors="backslashreplace"))
        >>> _ = output.write("\u0141ucja \x1b[31m\a"), output.flush()
        >>> print(held.getvalue().decode())
        \u0141ucja \x1b[31m\x07
    """

    color = True
    """Tells click to leave control sequences to this."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    @property
    def encoding(self) -> str:
        """Of the stream; ASCII goes by a name that click does not replace by UTF-8."""
        encoding = getattr(self.rich_proxied_file, "encoding", None) or "utf-8"
        return "iso8859-1" if codecs.lookup(encoding).name == "ascii" else encoding

    def write(self, text: str) -> int:
        """Write text, and return its length."""
        self.rich_proxied_file.write(_CONTROLS.sub(_escaped, text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def escape_output() -> None:
    """Let standard output and errors escape what they cannot hold, and control characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, Output):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Output(stream))


def echo_bold(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print text, bold on a terminal."""
    stream = sys.stderr if err else sys.stdout
    bold, plain = "", ""
    if isinstance(stream, Output) and stream.isatty() and not os.environ.get("NO_COLOR"):
        bold, plain, stream = "\x1b[1m", "\x1b[0m", stream.rich_proxied_file
    stream.write(bold)
    click.echo(text, nl=False, err=err)
    stream.write(plain)
    click.echo("", nl=nl, err=err)


def bar_mark() -> str:
    """Return what bars are drawn with: a block, or # where standard output cannot hold that."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "█".encode(encoding)
    except UnicodeEncodeError:
        return "#"
    return "█"


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
