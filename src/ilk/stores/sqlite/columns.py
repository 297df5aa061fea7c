"""Columns that a change may set: how a value is checked, kept in the file and told in the log."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from ilk.errors import InvalidInput
from ilk.stores.sqlite.effects import to_json
from ilk.stores.sqlite.schema import ROLES

__all__ = ["Column", "column_of", "text_of"]


@final
@dataclass(frozen=True)
class Column:
    """One column that a change may set."""

    encode: Callable[[Any], Any]
    """From the value of a row to that of the file; refuses what cannot be kept."""
    decode: Callable[[Any], Any]


def column_of(table: str, field: str) -> Column:
    """Return the column `field` of `table`.

    Raises:
        InvalidInput: A change may not set it.
    """
    columns = _COLUMNS.get(table)
    if columns is None:
        raise InvalidInput(f"expected a table among {', '.join(_COLUMNS)}, got {table!r}")
    if field not in columns:
        raise InvalidInput(f"of a {table} one can set {', '.join(columns)}, got {field!r}")
    return columns[field]


def text_of(value: Any, what: str, *, is_strict: bool = True) -> str:
    r"""Return text as it is, if UTF-8 can hold it.

    Args:
        value: The text.
        what: What to call it in the error.
        is_strict: If false, what UTF-8 cannot hold (as in names of files) is escaped.

    Example:
        >>> text_of("caf\udce9.png", "name", is_strict=False)
        'caf\\udce9.png'
    """
    if not isinstance(value, str):
        raise InvalidInput(f"expected text for {what}, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        if is_strict:
            raise InvalidInput(
                f"expected a {what} that UTF-8 can hold, got {value!r}; rename it"
            ) from None
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _encode_label(value: Any) -> str:
    if not text_of(value, "label"):
        raise InvalidInput("expected a label, got an empty one")
    return str(value)


def _encode_flag(value: Any) -> int:
    if value not in (True, False):
        raise InvalidInput(f"expected True or False for is_live, got {value!r}")
    return int(value)


def _encode_role(value: Any) -> int:
    if value not in ROLES:
        raise InvalidInput(f"expected a role among {', '.join(ROLES)}, got {value!r}")
    return ROLES.index(value)


def _encode_class(value: Any) -> int | None:
    return None if value is None else int(value)


def _encode_name(value: Any) -> str:
    return text_of(value, "name", is_strict=False)


def _encode_metadata(value: Any) -> str:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected metadata as a mapping, got {value!r}")
    try:
        return to_json(dict(value))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"metadata must be JSON ({error}), got {value!r}") from error


def _encode_date(value: Any) -> str | None:
    return None if value is None else text_of(value, "expires")


def _encode_distance(value: Any) -> float:
    distance = math.inf if value is None else float(value)
    if not distance >= 0:
        raise InvalidInput(f"expected a distance of at least 0, got {value!r}")
    return distance


def _decode_distance(value: float) -> float | None:
    """In the log an infinite distance is None: JSON has no infinity."""
    return value if math.isfinite(value) else None


def _as_it_is(value: Any) -> Any:
    return value


_LIVE = {"is_live": Column(_encode_flag, bool)}
_COLUMNS: dict[str, dict[str, Column]] = {
    "class": {"label": Column(_encode_label, _as_it_is), **_LIVE},
    "exemplar": {
        "class_id": Column(_encode_class, _as_it_is),
        "role": Column(_encode_role, ROLES.__getitem__),
        **_LIVE,
        "name": Column(_encode_name, _as_it_is),
        "metadata": Column(_encode_metadata, json.loads),
        "expires": Column(_encode_date, _as_it_is),
    },
    "stranger": _LIVE,
    "unknown": {**_LIVE, "distance": Column(_encode_distance, _decode_distance)},
}
