"""A process that changes a store: `python store_worker.py PATH FIRST LAST [PREFIX]`.

What it does in step i follows from i and what the store holds. It tells "begin i" before a step and
"done i" once the store has acknowledged it. With a prefix it keeps to classes of its own.
"""

from __future__ import annotations

import sys

import numpy as np

from ilk.store import NewExemplar, NewUnknown, Store, Writer
from ilk.stores.sqlite import SqliteStore

D = 16
STEPS = ("enroll", "enroll", "enroll", "remove", "rename", "merge", "erase")


def rows_of(step: int, count: int) -> list[NewExemplar]:
    """Exemplars that only this step can have made."""
    generator = np.random.default_rng(step)
    return [
        NewExemplar(
            generator.normal(size=D).astype(np.float32),
            f"hash-{step}-{i}",
            f"name-{step}-{i}.png",
            crop=b"crop" * 3000 if i % 2 else None,
        )
        for i in range(count)
    ]


def act(store: Store, step: int, prefix: str = "") -> None:
    """Make one step, as one change."""
    generator = np.random.default_rng([step, 1])
    kind = str(generator.choice(STEPS))
    with store.reading() as reader:
        known = [row.id for row in reader.classes() if row.label.startswith(prefix)]
    first, second = generator.permutation(known)[:2].tolist() if len(known) > 1 else (0, 0)
    if kind == "erase" and first:
        store.erase(class_ids=[first])
        return
    with store.changing(kind) as writer:
        if kind == "remove" and first:
            end(writer, first)
        elif kind == "rename" and first:
            writer.update("class", [first], "label", f"{prefix}label-{step:06d}-renamed.")
        elif kind == "merge" and first:
            members = [row.id for row in writer.exemplars(first)]
            writer.update("exemplar", members, "class_id", second)
            writer.update("class", [first], "is_live", False)
        else:
            new = rows_of(step, int(generator.integers(1, 9)))
            writer.add_exemplars(writer.add_class(f"{prefix}label-{step:06d}."), new)
            kept = NewUnknown(new[0].embedding, new[0].content_hash, "probe.png", 0.5)
            writer.add_unknowns([kept])
        writer.set("step", step)


def end(writer: Writer, class_id: int) -> None:
    """Take a class out with its exemplars."""
    writer.update("exemplar", [row.id for row in writer.exemplars(class_id)], "is_live", False)
    writer.update("class", [class_id], "is_live", False)


def main(path: str, first: str, last: str, prefix: str = "") -> None:
    store = SqliteStore.open(path)
    for step in range(int(first), int(last)):
        tell("begin", step)
        act(store, step, prefix)
        tell("done", step)
    store.close()


def tell(what: str, step: int) -> None:
    sys.stdout.write(f"{what} {step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
