"""Public calls raise errors of ilk: an argument of a wrong kind is `InvalidInput`, told by name.

Where a public call fails because Python cannot do with an argument what is done with it, the error
says which call it was and what it was given; Python's own error is its cause.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ilk.errors import IlkError, InvalidInput

__all__ = ["door", "doors"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=type)

_OF_PYTHON = (TypeError, ValueError, AttributeError, OverflowError, LookupError)
_LONGEST = 60


def door(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function raise `InvalidInput` where Python could not use an argument.

    Example:
        >>> @door
        ... def length(text: str) -> int:
        ...     return len(text)
        >>> length("four"), length(4)
        Traceback (most recent call last):
        ...
        ilk.errors.InvalidInput: length() cannot use what it was given, text=4: object of type 'int'
        has no len()
    """

    @wraps(function)
    def called(*args: _P.args, **options: _P.kwargs) -> _R:
        try:
            return function(*args, **options)
        except IlkError:
            raise
        except _OF_PYTHON as error:
            told = _told(function, args, options)
            raise InvalidInput(
                f"{function.__name__}() cannot use what it was given, {told}: {error}"
            ) from error

    return called


def doors(cls: _C) -> _C:
    """Make a `door` of each public method of a class that is its own."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, staticmethod):
            setattr(cls, name, staticmethod(door(member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, door(member))
    return cls


def _told(function: Callable[..., object], args: object, options: object) -> str:
    """Return the arguments in words; those that Python could not even bind, as they came."""
    assert isinstance(args, tuple)
    assert isinstance(options, dict)
    try:
        given = inspect.signature(function).bind(*args, **options).arguments
    except TypeError:
        given = options
    told = [f"{name}={_shortened(value)}" for name, value in given.items() if name != "self"]
    return ", ".join(told) or "nothing"


def _shortened(value: object) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
