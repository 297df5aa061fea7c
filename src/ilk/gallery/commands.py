"""What to type: the command lines that findings and proposals end with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from ilk.shell import command_line

__all__ = [
    "calibrate",
    "discard_unknowns",
    "enroll_more",
    "merge",
    "name_unknowns",
    "remove",
    "show",
]


def merge(location: str, label: str, into: str) -> str:
    """Return the command that joins two classes.

    Example:
        >>> merge("birds", "barn owl", "owl")
        "ilk gallery merge birds 'barn owl' owl"
        >>> merge("birds", "-x", "owl")
        'ilk gallery merge -- birds -x owl'
    """
    return command_line("ilk gallery merge", location, label, into)


def remove(location: str, exemplars: Iterable[int]) -> str:
    """Return the command that takes exemplars out.

    Example:
        >>> remove("birds", [12])
        'ilk gallery remove --exemplar 12 birds'
    """
    chosen = " ".join(f"--exemplar {i}" for i in exemplars)
    return command_line(f"ilk gallery remove {chosen}", location)


def show(location: str, label: str) -> str:
    """Return the command that lists the exemplars of a class, to look before anything is changed.

    Example:
        >>> show("birds", "barn owl")
        "ilk gallery show birds 'barn owl'"
    """
    return command_line("ilk gallery show", location, label)


def enroll_more(location: str, label: str) -> str:
    """Return the command that enrolls more of a class; FILE stands for what to enroll.

    Example:
        >>> enroll_more("birds", "barn owl")
        "ilk enroll --label 'barn owl' birds FILE..."
    """
    return f"{command_line(f'ilk enroll --label {shlex.quote(label)}', location)} FILE..."


def calibrate(location: str) -> str:
    """Return the command that chooses the threshold on other strangers; SOURCE stands for them.

    Example:
        >>> calibrate("birds")
        'ilk gallery calibrate --strangers SOURCE birds'
    """
    return command_line("ilk gallery calibrate --strangers SOURCE", location)


def name_unknowns(location: str, ids: Iterable[int]) -> str:
    """Return the command that names kept unknown probes; LABEL stands for the name.

    Example:
        >>> name_unknowns("birds", [3, 5])
        'ilk unknown name birds LABEL 3 5'
    """
    return f"{command_line('ilk unknown name', location)} LABEL {' '.join(map(str, ids))}"


def discard_unknowns(location: str, ids: Iterable[int]) -> str:
    """Return the command that lets go of kept unknown probes."""
    return f"{command_line('ilk unknown discard', location)} {' '.join(map(str, ids))}"
