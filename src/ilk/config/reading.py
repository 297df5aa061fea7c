"""From TOML and `key=value` to a `Run`: whatever is not understood is refused by its path."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from ilk.config.settings import Run
from ilk.errors import ConfigError, MissingExtra

__all__ = ["changed", "load_run", "run_from"]

_ABOVE_ZERO = (0, False, math.inf)
_ZERO_OR_MORE = (0, True, math.inf)
_SHARE = (0, True, 1)
_RANGES: dict[str, tuple[int, bool, float]] = {
    "seed": _ZERO_OR_MORE,
    "data.validation_fraction": (0, False, 1),
    "data.cache_mib": _ZERO_OR_MORE,
    "data.num_threads": _ZERO_OR_MORE,
    "batch.classes": (2, True, math.inf),
    "batch.items_per_class": _ABOVE_ZERO,
    "optimizer.learning_rate": _ABOVE_ZERO,
    "optimizer.backbone_learning_rate": _ZERO_OR_MORE,
    "optimizer.class_weights_learning_rate": _ZERO_OR_MORE,
    "optimizer.weight_decay": _ZERO_OR_MORE,
    "optimizer.clip_norm": _ZERO_OR_MORE,
    "schedule.steps": _ABOVE_ZERO,
    "schedule.epochs": _ZERO_OR_MORE,
    "schedule.warm_up": _SHARE,
    "schedule.final": _SHARE,
    "schedule.head_only_epochs": _ZERO_OR_MORE,
    "schedule.validate_every": _ABOVE_ZERO,
    "schedule.patience": _ZERO_OR_MORE,
    "trainer.average": _SHARE,
    "trainer.devices": _ABOVE_ZERO,
    "trainer.log_every": _ABOVE_ZERO,
}
"""The lower end, whether it belongs to the range, and the upper end, which never does."""


def load_run(path: Path | None = None, overrides: Sequence[str] = ()) -> Run:
    """Read a run from a TOML file, or the defaults, and apply `key=value` overrides in order.

    A value is written as in TOML; what TOML cannot read is taken as text.

    Raises:
        ConfigError: The file is no TOML, or a setting is unknown or cannot have its value.
        MissingExtra: pydantic is not installed.
        OSError: The file cannot be read.

    Example:
        >>> load_run(overrides=["seed=3", "encoder.options.backbone=resnet18"]).encoder.options
        {'backbone': 'resnet18'}
        >>> load_run(overrides=["optimizer.learnig_rate=0.1"])
        Traceback (most recent call last):
        ...
        ilk.errors.ConfigError: optimizer.learnig_rate: there is no such setting; did you mean \
optimizer.learning_rate?
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            settings = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not a TOML file: {error}") from None
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"expected key=value, such as seed=1, got {override!r}")
        _put(settings, key.strip(), _value(text.strip()))
    return run_from(settings)


def changed(run: Run, values: Mapping[str, Any]) -> Run:
    """Return a run in which the settings at these dotted paths have these values.

    Raises:
        ConfigError: There is no such setting, or it cannot have that value.

    Example:
        >>> changed(Run(), {"batch.classes": 8}).batch.classes
        8
    """
    settings = run.as_dict()
    for path, value in values.items():
        _put(settings, path, value)
    return run_from(settings)


def run_from(settings: Mapping[str, Any]) -> Run:
    """Make a run from nested dictionaries.

    Raises:
        ConfigError: A setting is unknown, or cannot have its value.
        MissingExtra: pydantic is not installed.
    """
    _refuse_unknown(Run, settings, "")
    try:
        content = json.dumps(settings)
    except TypeError as error:
        raise ConfigError(
            f"a setting must be text, a number, true, false or a list: {error}"
        ) from None
    run = _parse(content)
    _check_ranges(run)
    return run


@cache
def _adapter() -> Any:
    try:
        from pydantic import TypeAdapter
    except ImportError:
        raise MissingExtra(
            'reading the settings of a run needs pydantic; pip install "ilk[train]"'
        ) from None
    return TypeAdapter(Run)


def _parse(content: str) -> Run:
    adapter = _adapter()
    from pydantic import ValidationError

    try:
        run: Run = adapter.validate_json(content, strict=True)
    except ValidationError as error:
        raise ConfigError(_complaint(error.errors())) from None
    return run


def _refuse_unknown(kind: type, settings: Any, prefix: str) -> None:
    """Walk the dataclasses beside the settings; leave wrong types to pydantic."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')}: expected a table of settings, got {settings!r}")
    known, hints = {f.name for f in fields(kind)}, get_type_hints(kind)
    for key, value in settings.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = (
                f"did you mean {prefix}{near[0]}?"
                if near
                else f"there are {', '.join(sorted(known))}"
            )
            raise ConfigError(f"{prefix}{key}: there is no such setting; {hint}")
        if is_dataclass(hints[key]) and isinstance(hints[key], type):
            _refuse_unknown(hints[key], value, f"{prefix}{key}.")


def _complaint(errors: Sequence[Mapping[str, Any]]) -> str:
    """Put all that is wrong with one setting into a sentence.

    Of a choice of types pydantic reports each one that did not fit, with the type as the last
    part of its place.
    """
    first = errors[0]
    place = _place(first["loc"])
    reasons = [e["msg"] for e in errors if _place(e["loc"]) == place]
    reasons = [reason.replace("Input should be ", "") for reason in reasons]
    return f"{place}: expected {' or '.join(dict.fromkeys(reasons))}, got {first['input']!r}"


def _place(location: Sequence[int | str]) -> str:
    kind: Any = Run
    parts = []
    for part in location:
        if is_dataclass(kind):
            kind = get_type_hints(kind)[str(part)]
        elif str(part) in ("int", "float") or str(part).startswith("literal["):
            break
        parts.append(str(part))
    return ".".join(parts)


def _put(settings: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    table = settings
    for i, parent in enumerate(parents):
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{path}: {'.'.join(parents[: i + 1])} is a single setting, not a table of them"
            )
        table = inner
    table[last] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check_ranges(run: Run) -> None:
    """Refuse numbers that cannot mean anything.

    Raises:
        ConfigError: A number is out of its range; the message names the first one.
    """
    settings = run.as_dict()
    for path, (low, has_low, high) in _RANGES.items():
        value: Any = settings
        for part in path.split("."):
            value = value[part]
        if value == "auto" or low < value < high or (has_low and value == low):
            continue
        below = f" and below {high}" if high < math.inf else ""
        expected = f"{'at least' if has_low else 'above'} {low}{below}"
        raise ConfigError(f"{path}: expected a number {expected}, got {value}")
    if run.schedule.steps != "auto" and run.schedule.epochs:
        raise ConfigError(
            "schedule.steps and schedule.epochs say the same thing twice; set one of them"
        )
