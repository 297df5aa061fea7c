"""`ilk artifact show ARTIFACT`: what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ilk.cli.artifacts import artifact_argument, load_artifact
from ilk.cli.galleries import json_option

if TYPE_CHECKING:
    from ilk.artifact import Artifact

__all__ = ["show", "tell_artifact"]


@click.command()
@artifact_argument
@json_option
def show(artifact: Path, as_json: bool) -> None:
    """Show what an artifact is: encoder, detector, cohort, licence.

    ARTIFACT is a folder that `ilk train` or `ilk artifact import` wrote, or the name of a ready
    one: faces. It is checked first, and refused if a file of it is missing or damaged.
    """
    tell_artifact(load_artifact(artifact), as_json=as_json)


def tell_artifact(artifact: Artifact, *, as_json: bool) -> None:
    """Print what an artifact is."""
    from ilk.cli.documents import print_document
    from ilk.cli.words import print_facts

    facts = _facts(artifact)
    if as_json:
        print_document("artifact", **facts)
    else:
        print_facts(_rows(facts))


def _facts(artifact: Artifact) -> dict[str, Any]:
    from ilk.calibration import least_rate

    manifest = artifact.manifest
    num_items, num_classes = len(artifact.cohort), artifact.cohort.num_classes
    return {
        "location": str(artifact.path),
        "encoder": dict(manifest.encoder),
        "embedding_size": manifest.embedding_size,
        "one_at_a_time": manifest.one_at_a_time,
        "distance": dict(manifest.distance),
        "preprocess": dict(manifest.preprocess),
        "detector": dict(artifact.detector),
        "encoder_fingerprint": artifact.encoder_fingerprint,
        "fingerprint": artifact.fingerprint,
        "num_training_classes": len(manifest.training_classes),
        "imported": manifest.config.get("imported"),
        "num_cohort_items": num_items,
        "num_cohort_classes": num_classes,
        "least_rate": least_rate(num_classes) if num_classes else None,
        "licence": manifest.weights_licence,
        "pretrained_on": manifest.pretrained_on,
        "metrics": [dict(figure) for figure in manifest.metrics],
    }


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from ilk.words import counted, percent

    imported = facts["imported"]
    cohort = "none: calibrate galleries on strangers of their own"
    if facts["num_cohort_items"]:
        classes = counted(facts["num_cohort_classes"], "class", "classes")
        cohort = (
            f"{counted(facts['num_cohort_items'], 'item')} of {classes}; carries a rate of "
            f"{percent(facts['least_rate'])} or more"
        )
    trained = counted(facts["num_training_classes"], "class", "classes")
    parameters = facts["encoder"].get("num_parameters")
    rows = [
        ("artifact", facts["location"]),
        ("encoder", _words(facts["encoder"], leave_out=("num_parameters",))),
        ("parameters", f"{parameters:,}" if parameters else ""),
        ("embedding", f"{facts['embedding_size']} numbers"),
        ("inputs at once", "one, which takes longer" if facts["one_at_a_time"] else ""),
        ("distance", _words(facts["distance"])),
        ("preprocess", _words(facts["preprocess"])),
        ("detector", _words(facts["detector"])),
        ("trained on", "elsewhere" if imported is not None else trained),
        ("imported from", (imported or {}).get("source") or (imported or {}).get("file", "")),
        ("learned from", facts["pretrained_on"]),
        ("licence of weights", facts["licence"] or ("not stated" if imported is not None else "")),
        ("cohort", cohort),
        ("fingerprint", facts["encoder_fingerprint"]),
    ]
    return [(name, value) for name, value in rows if value]


def _words(settings: dict[str, Any], leave_out: tuple[str, ...] = ()) -> str:
    """Return a name and its options in a line; options that are None say nothing."""
    options = {k: v for k, v in settings.items() if v is not None and k not in ("name", *leave_out)}
    told = [
        f"{key}={_plain(value, 'x' if key == 'size_pixels' else '/')}"
        for key, value in options.items()
    ]
    named = [str(settings["name"])] if "name" in settings else []
    return ", ".join(named + told)


def _plain(value: Any, between: str = "/") -> str:
    if isinstance(value, list | tuple):
        return between.join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
