"""Store (Protocol): the truth of a gallery. What a call wrote is durable when it returns.

A store keeps rows and a log, and knows nothing of distances. Every change is one transaction and
one row of the append-only log; the log keeps, for every field that changed, the value before and
after, so any change can be undone by another. Rows are never deleted by a change: they cease
to be live. Only `Store.erase` deletes, from the rows and from the log.

Shapes: N rows, D embedding size.
"""

from ilk.store.content import content_hash_of, forms_of, normal_content
from ilk.store.protocols import CopyingStore, Reader, Store, Writer
from ilk.store.rows import (
    ChangeRow,
    Chosen,
    ClassRow,
    Delta,
    Effect,
    Erased,
    ExemplarRow,
    NewExemplar,
    NewStranger,
    NewUnknown,
    Past,
    Role,
    Strangers,
    Table,
    UnknownRow,
)

__all__ = [
    "ChangeRow",
    "Chosen",
    "ClassRow",
    "CopyingStore",
    "Delta",
    "Effect",
    "Erased",
    "ExemplarRow",
    "NewExemplar",
    "NewStranger",
    "NewUnknown",
    "Past",
    "Reader",
    "Role",
    "Store",
    "Strangers",
    "Table",
    "UnknownRow",
    "Writer",
    "content_hash_of",
    "forms_of",
    "normal_content",
]
