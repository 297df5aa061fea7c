"""What belongs to an erasure, found before anything of it is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

from ilk.errors import InvalidInput
from ilk.store import Effect, Table, normal_content
from ilk.stores.sqlite.connection import Connection
from ilk.stores.sqlite.effects import from_text
from ilk.stores.sqlite.ranges import Ranges, expand, join_ranges, subtract, to_ranges
from ilk.stores.sqlite.schema import TABLES

__all__ = ["Erasure"]


@final
class Erasure:
    """The rows, labels and contents that one erasure takes.

    With a class go all of its exemplars, those taken out earlier too, and classes that were merged
    into it: their rows are its rows. With an exemplar go all rows of the same content.
    """

    def __init__(
        self, connection: Connection, class_ids: Iterable[int], exemplar_ids: Iterable[int]
    ) -> None:
        self._connection = connection
        self.rows: dict[Table, Ranges] = dict.fromkeys(TABLES, ())
        classes = set(self._known("class", class_ids))
        exemplars = set(self._known("exemplar", exemplar_ids)) | self._rows_of(classes)
        classes |= self._merged_classes(exemplars) - classes
        exemplars |= self._rows_of(classes)
        hashes = self._column("exemplar", "content_hash", exemplars)
        self.content_hashes = set(map(normal_content, hashes))
        if self.content_hashes:
            exemplars |= self._same_content("exemplar")
        self.rows["class"], self.rows["exemplar"] = to_ranges(classes), to_ranges(exemplars)
        self.labels = self._labels(classes)
        """Of the classes, those of the past too."""
        strangers = self._same_content("stranger") | self._grouped_strangers()
        self.rows["stranger"] = to_ranges(strangers)
        self.rows["unknown"] = to_ranges(self._same_content("unknown"))

    def num(self, table: Table) -> int:
        """Return how many rows of a table go."""
        return sum(last - first + 1 for first, last in self.rows[table])

    def left_of(self, effect: Effect) -> Effect | None:
        """Return what may stay of an entry of the log: what mentions none of this."""
        if effect.table == "setting":
            return effect
        before, after = effect.before, effect.after
        if effect.field == "label" and {before, after} & self.labels:
            return None
        if effect.field == "class_id" and (self._is_class(before) or self._is_class(after)):
            return None
        rows = subtract(effect.rows, self.rows[effect.table])
        return Effect(effect.table, effect.field, before, after, rows) if rows else None

    def _is_class(self, value: int | None) -> bool:
        return any(first <= (value or 0) <= last for first, last in self.rows["class"])

    def _known(self, table: Table, ids: Iterable[int]) -> list[int]:
        ranges = to_ranges(ids)
        for first, last in ranges:
            found = self._connection.value(
                f"select count(*) from {table} where id between ? and ?", first, last
            )
            if found != last - first + 1:
                raise InvalidInput(f"expected ids of table {table}, not all of {first}-{last} are")
        return expand(ranges)

    def _rows_of(self, classes: Iterable[int]) -> set[int]:
        statement = "select id from exemplar where class_id = ?"
        return {row[0] for c in classes for row in self._connection.rows(statement, c)}

    def _column(self, table: Table, column: str, ids: Iterable[int]) -> list[str]:
        statement = f"select {column} from {table} where id between ? and ?"
        ranges = to_ranges(ids)
        return [row[0] for one in ranges for row in self._connection.rows(statement, *one)]

    def _same_content(self, table: Table) -> set[int]:
        blocks = self._connection.blocks(f"select id, content_hash from {table}")
        return {
            row[0]
            for block in blocks
            for row in block
            if normal_content(row[1]) in self.content_hashes
        }

    def _grouped_strangers(self) -> set[int]:
        rows = self._connection.rows('select id, "group" from stranger')
        return {row[0] for row in rows if row[1] in self.labels}

    def _changes(self) -> Iterator[tuple[Effect, ...]]:
        for block in self._connection.blocks("select effects from change order by id"):
            yield from (from_text(text) for (text,) in block)

    def _labels(self, classes: set[int]) -> set[str]:
        labels = set(self._column("class", "label", classes))
        for effects in self._changes():
            for effect in effects:
                if (effect.table, effect.field) == ("class", "label") and subtract(
                    effect.rows, self.rows["class"]
                ) != effect.rows:
                    labels |= {effect.before, effect.after}
        return labels

    def _merged_classes(self, exemplars: set[int]) -> set[int]:
        """Find classes that ended in a change that made their rows those of an erased class."""
        taken = to_ranges(exemplars)
        merged: set[int] = set()
        for effects in self._changes():
            ended = {
                row
                for e in effects
                if (e.table, e.field, e.after) == ("class", "is_live", False)
                for row in expand(e.rows)
            }
            moved: dict[int, list[tuple[int, int]]] = {}
            for e in effects:
                if (e.table, e.field) == ("exemplar", "class_id") and e.before in ended:
                    moved.setdefault(e.before, []).extend(e.rows)
            merged |= {c for c, rows in moved.items() if not subtract(join_ranges(rows), taken)}
        rows = self._connection.rows("select id from class where is_live = 0")
        return merged & {row[0] for row in rows}
