"""From a name and options in a run to an object, with every default written down."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from ilk.errors import ConfigError, InvalidInput

__all__ = ["construct", "with_defaults"]


def construct(
    factory: Callable[..., Any], options: Mapping[str, Any], *, path: str, **given: Any
) -> Any:
    """Call `factory` with the options of a run and with what is given besides.

    Args:
        factory: A class or function that takes keywords.
        options: Of the run.
        path: Where in the run they are, such as "loss.options".
        **given: What the run does not decide.

    Raises:
        ConfigError: An option is not one of the factory's, or cannot have its value.

    Example:
        >>> construct(dict, {"a": 1}, path="x.options", b=2)
        {'a': 1, 'b': 2}
        >>> from ilk.losses import Triplet
        >>> construct(Triplet, {"margn": 0.1}, path="loss.options")
        Traceback (most recent call last):
        ...
        ilk.errors.ConfigError: loss.options.margn: Triplet has no such option; did you mean \
loss.options.margin?
    """
    name = getattr(factory, "__name__", str(factory))
    known = _options_of(factory)
    if known is not None:
        for key in options:
            allowed = [k for k in known if k not in given]
            if key not in allowed:
                near = get_close_matches(key, allowed, n=1)
                hint = f"did you mean {path}.{near[0]}?" if near else f"it has {', '.join(allowed)}"
                raise ConfigError(f"{path}.{key}: {name} has no such option; {hint}")
    try:
        return factory(**options, **given)
    except InvalidInput as error:
        raise ConfigError(f"{path}: {error}") from None
    except TypeError as error:
        raise ConfigError(f"{path}: {name} cannot be made of {dict(options)}: {error}") from None


def with_defaults(factory: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the factory's defaults for those left out, where JSON can hold them.

    Example:
        >>> from ilk.losses import Triplet
        >>> with_defaults(Triplet, {"margin": 0.2})
        {'margin': 0.2, 'triplets': 'all'}
    """
    defaults = {
        key: default
        for key, default in (_options_of(factory) or {}).items()
        if default is not inspect.Parameter.empty and default is not None and _is_plain(default)
    }
    return {**defaults, **options}


def _options_of(factory: Callable[..., Any]) -> dict[str, Any] | None:
    """Return keyword and default of each option; None if any keyword is taken."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {p.name: p.default for p in parameters if p.kind in kinds}


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
