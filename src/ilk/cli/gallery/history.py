"""`ilk gallery history`: what was changed, in words, with the labels and roles of the time."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from ilk.cli.galleries import gallery_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ilk.store import ChangeRow, Effect, Reader

__all__ = ["history"]

_NOUNS = {
    "class": ("class", "classes"),
    "exemplar": ("exemplar", "exemplars"),
    "stranger": ("stranger", "strangers"),
    "unknown": ("unknown probe", "unknown probes"),
}
_NUM_NAMED = 3
_MOST_LOOKED_AT = 1000
"""Of so many exemplars of one change class and role are looked up."""


@click.command()
@gallery_argument
@click.option(
    "--last",
    type=click.IntRange(-1, 1 << 62),
    default=20,
    show_default=True,
    help="How many of the last changes to list; -1 for all.",
)
@json_option
def history(gallery: Path, last: int, as_json: bool) -> None:
    """List the changes, oldest first: when, who and what."""
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_table
    from ilk.documents import change_rows
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened, opened.access.reading() as reader:
        changes = reader.changes(last=None if last < 0 else last)
        told = _Past(reader, changes).told(changes) if not as_json else []
    if as_json:
        print_document("gallery.history", changes=change_rows(changes))
        return
    shown = [
        (change.id, change.time[:19], change.actor, change.action, words)
        for change, words in zip(changes, told, strict=True)
    ]
    print_table(("change", "time (UTC)", "who", "action", "what"), shown, right="change")


@final
class _Past:
    """Labels, classes and roles as they are, taken back change by change to what they were."""

    def __init__(self, reader: Reader, changes: Sequence[ChangeRow]) -> None:
        self.labels = {row.id: row.label for row in reader.classes(is_live=None)}
        effects = [e for change in changes for e in change.effects if e.table == "exemplar"]
        looked_at = {i for e in effects for i in islice(_ids(e), _MOST_LOOKED_AT)}
        rows = reader.exemplars(ids=looked_at, is_live=None)
        self.classes = {row.id: row.class_id for row in rows}
        self.roles: dict[int, str] = {row.id: row.role for row in rows}

    def told(self, changes: Sequence[ChangeRow]) -> list[str]:
        """Return each of the last changes in words."""
        words = []
        for change in reversed(changes):
            words.append(self._change(change))
            for effect in change.effects:
                self._take_back(effect)
        return words[::-1]

    def _take_back(self, effect: Effect) -> None:
        fields: dict[tuple[str, str], dict[int, Any]] = {
            ("class", "label"): self.labels,
            ("exemplar", "class_id"): self.classes,
            ("exemplar", "role"): self.roles,
        }
        values = fields.get((effect.table, effect.field), {})
        for i in _ids(effect) if values else ():
            if i in values:
                values[i] = effect.before

    def _change(self, change: ChangeRow) -> str:
        words = [f"change {change.undoes} undone"] if change.undoes is not None else []
        words += [told for effect in change.effects for told in self._effect(effect)]
        if change.is_erased:
            words.append("erased in part")
        return ", ".join(words)

    def _effect(self, effect: Effect) -> Iterator[str]:
        from ilk.words import counted

        if effect.table == "setting":
            yield _set(effect)
            return
        count = sum(last - first + 1 for first, last in effect.rows)
        told = counted(count, *_NOUNS[effect.table])
        if effect.field == "is_live":
            way = "in" if effect.after else "out"
            named = self._exemplars(effect) if effect.table == "exemplar" else [told]
            if effect.table == "class":
                named = [told + self._named(effect, count)]
            yield from (f"{one} {way}" for one in named)
        elif effect.field == "label":
            yield f"label {effect.before!r} to {effect.after!r}"
        elif effect.field == "class_id":
            before, after = (self.labels.get(i, "none") for i in (effect.before, effect.after))
            yield f"{told} from {before!r} to {after!r}"
        else:
            yield f"{told}: {effect.field} {_value(effect.before)} to {_value(effect.after)}"

    def _named(self, effect: Effect, count: int) -> str:
        """Return the labels of the first classes of an effect."""
        known = [repr(self.labels[i]) for i in islice(_ids(effect), _NUM_NAMED) if i in self.labels]
        more = ", ..." if count > _NUM_NAMED else ""
        return f" ({', '.join(known)}{more})" if known else ""

    def _exemplars(self, effect: Effect) -> list[str]:
        """Return what exemplars of an effect are examples of, and how many of each."""
        from ilk.words import counted

        count = sum(last - first + 1 for first, last in effect.rows)
        if count > _MOST_LOOKED_AT:
            return [counted(count, "exemplar")]
        of = Counter((self.roles.get(i, ""), self.classes.get(i)) for i in _ids(effect))
        told = []
        for (role, class_id), number in list(of.items())[:_NUM_NAMED]:
            label = repr(self.labels[class_id]) if class_id in self.labels else "a class"
            words = {
                "exemplar": f"{counted(number, 'exemplar')} of {label}",
                "not": f"{counted(number, 'example')} of what {label} is not",
                "ignore": f"{counted(number, 'example')} to ignore",
            }
            told.append(words.get(role, counted(number, "exemplar")))
        left = sum(of.values()) - sum(number for _, number in list(of.items())[:_NUM_NAMED])
        return told + ([f"{counted(left, 'exemplar')} of other classes"] if left else [])


def _ids(effect: Effect) -> Iterator[int]:
    for first, last in effect.rows:
        yield from range(first, last + 1)


def _set(effect: Effect) -> str:
    """Return in words what became of a setting."""
    name = effect.field.replace("_", " ")
    if effect.before is None:
        return f"{name} {_value(effect.after)}"
    return f"{name} {_value(effect.before)} to {_value(effect.after)}"


def _value(value: Any) -> str:
    """Return a value of JSON in words.

    Example:
        >>> _value({"distance": {"name": "cosine"}, "tags": ["a", None]})
        'distance name cosine, tags a and none'
    """
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_value(v)}" for key, v in value.items())
    if isinstance(value, list):
        return " and ".join(map(_value, value)) or "nothing"
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{text[:12]}..." if len(text) > 40 else text
