"""Commands as a person would type them, for messages that say what to do."""

from __future__ import annotations

import shlex

__all__ = ["command_line"]


def command_line(command: str, *words: object) -> str:
    """Return a command with its words quoted for a shell; no word is taken for an option.

    Example:
        >>> command_line("ilk gallery show", "my birds", "owl")
        "ilk gallery show 'my birds' owl"
    """
    texts = [str(word) for word in words]
    ends = ["--"] if any(text.startswith("-") for text in texts) else []
    return " ".join([command, *ends, *map(shlex.quote, texts)])
