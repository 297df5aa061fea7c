"""Contradictions: what is enrolled and ruled out at once."""

from __future__ import annotations

from ilk.gallery import commands
from ilk.gallery.findings import Finding
from ilk.gallery.names import Names
from ilk.gallery.state import State
from ilk.store import Reader

__all__ = ["contradictions"]


def contradictions(state: State, reader: Reader, names: Names) -> list[Finding]:
    """Return the exemplars whose content also is an example of what their class is not.

    Enrolling refuses that; merging and importing may bring it about.
    """
    barring = reader.exemplars(ids=state.live.members.barring().tolist())
    held = reader.find_content([row.content_hash for row in barring])
    found = []
    for bar in barring:
        for row in held.get(bar.content_hash, ()):
            is_ruled_out = bar.role == "ignore" or row.class_id == bar.class_id
            if row.role != "exemplar" or row.class_id is None or not is_ruled_out:
                continue
            label = names.labels[row.class_id]
            what = "is to be ignored" if bar.role == "ignore" else f"{label!r} is not"
            found.append(
                Finding(
                    kind="contradiction",
                    labels=(label,),
                    exemplars=(row.id, bar.id),
                    reason=f"exemplar {row.id} of {label!r} and {bar.id}, an example of what "
                    f"{what}, are the same content; take the wrong one out",
                    command=commands.remove(names.location, [bar.id]),
                )
            )
    return found
