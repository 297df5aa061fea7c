"""CARD.md as Markdown: what it is, figures, use, recipe, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ilk.card.facts import CardFacts
from ilk.card.markdown import (
    code,
    counted,
    duration,
    flatten,
    name_of,
    settings_of,
    share,
    table,
    text,
)

__all__ = ["render_card"]


def render_card(facts: CardFacts) -> str:
    """Return the Markdown of a card: what it is, figures, use, recipe, limits.

    Example:
        >>> card = render_card(CardFacts(
        ...     name="birds", encoder="small", embedding_size=64, num_classes=10, num_items=50,
        ...     distance={"name": "cosine"}, preprocess={"size_pixels": 48},
        ...     loss={"name": "triplet"}))
        >>> print(card.splitlines()[0])
        # birds
    """
    sections = (
        _introduction(facts),
        _figures(facts),
        _radii(facts),
        _use(facts),
        _training(facts),
        _limits(facts),
        _versions(facts),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(facts: CardFacts) -> str:
    parameters = [("Parameters", f"{facts.num_parameters:,}")] if facts.num_parameters else []
    licence = text(facts.weights_licence)
    about = [
        ("Encoder", text(facts.encoder)),
        *parameters,
        ("Imported from", text(facts.imported_from)),
        ("Embedding", f"{facts.embedding_size} numbers"),
        ("Inputs at once", "one: others beside would move an embedding")
        if facts.one_at_a_time
        else ("Inputs at once", ""),
        ("Distance", settings_of(facts.distance)),
        ("Preprocessing", settings_of(facts.preprocess)),
        ("Detector", settings_of(facts.detector)),
        ("Loss", settings_of(facts.loss)),
        ("Licence of the weights", licence or "not stated; ask whoever published them")
        if facts.is_imported
        else ("Licence of the initial weights", licence or "none: from scratch"),
        ("Fingerprint", code(facts.fingerprint)),
        ("Made", text(facts.created)),
    ]
    return (
        f"# {text(facts.name)}\n\n"
        "An encoder that places items of one class close together under the "
        f"{name_of(facts.distance)} distance. {_origin(facts)}\n\n"
        + table(("", ""), [(key, value) for key, value in about if value])
    )


def _origin(facts: CardFacts) -> str:
    """Tell in words what it learned from, and where."""
    meant = (
        "is meant for classes that it never saw: enroll a few examples of each, and nothing is "
        "retrained."
    )
    if facts.is_imported:
        learned = (
            f"There it learned from {text(facts.pretrained_on)}."
            if facts.pretrained_on
            else "What it learned from is not stated."
        )
        return f"It was trained elsewhere and imported, and {meant} {learned}"
    classes = counted(facts.num_classes, "class", "classes")
    source = f" of {text(facts.source)}" if facts.source else ""
    began = (
        f"It began with weights that had learned from {text(facts.pretrained_on)}."
        if facts.pretrained_on
        else "It began from scratch, without pretrained weights."
    )
    items = counted(facts.num_items, "item")
    return f"It learned from {classes} ({items}){source} and {meant} {began}"


def _figures(facts: CardFacts) -> str:
    if not facts.figures:
        return ""
    rows = [_figure_row(figure) for figure in facts.figures]
    header = ("Figure", "Value", "95 % interval", "Trials", "Classes", "Note")
    return (
        f"## Validation\n\n{_measured_on(facts)} Intervals are from a bootstrap by class.\n\n"
        + table(header, rows)
    )


def _radii(facts: CardFacts) -> str:
    """Tell how validation embeddings use hyperbolic space."""
    if not facts.radii:
        return ""
    found = facts.radii
    step = float(found["max_radius"]) / len(found["shares"])
    ranges = [f"{step * i:.2f} to {step * (i + 1):.2f}" for i in range(len(found["shares"]))]
    warning = str(found["warning"])
    return (
        "## Radii\n\nHow far validation embeddings lie from the origin of hyperbolic space. The "
        f"closest others of {share(found['cosine_agreement'])} of them are in the order that the "
        f"cosine distance gives; {share(found['rim'])} lie at the rim. "
        + (f"**Warning: {text(warning)}.**" if warning else "So the radii count.")
        + "\n\n"
        + table(
            ("Radius", "Embeddings"), list(zip(ranges, map(share, found["shares"]), strict=True))
        )
    )


def _measured_on(facts: CardFacts) -> str:
    classes = counted(facts.num_validation_classes, "class", "classes")
    items = counted(facts.num_validation_items, "item")
    if facts.is_imported:
        origin = f" of {text(facts.source)}" if facts.source else ""
        return (
            f"On {classes} ({items}){origin}, which are also the calibration cohort. Whether the "
            "network had learned from some of them is not known; if it had, other classes come "
            "out worse."
        )
    held_out = f"On {classes} ({items}) held out of training. "
    return (
        f"{held_out if facts.num_validation_classes else ''}They also chose which epoch was kept, "
        "so expect other data to come out somewhat worse."
    )


def _figure_row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = figure.get("low"), figure.get("high")
    return (
        code(str(figure["name"])),
        share(figure.get("value")),
        "" if low is None or high is None else f"{share(low)} to {share(high)}",
        f"{figure.get('num_trials', 0):,}",
        f"{figure.get('num_classes', 0):,}",
        text(str(figure.get("note", ""))),
    )


def _use(facts: CardFacts) -> str:
    folder = facts.name.replace("\\", "").replace('"', "").replace("\n", " ").replace("`", "")
    detecting, items = "", 'open_source("YOUR_FOLDER")'
    if facts.detector:
        detecting = "from ilk.detecting import crops_of, open_detector\n"
        items = f"crops_of(open_detector(artifact.detector), {items})"
    return f"""## Use

{_advice(facts)}

```console
ilk evaluate "{folder}" YOUR_FOLDER --report report.html
```

From Python, without torch:

```python
from ilk.artifact import Artifact
from ilk.datasets import open_source
{detecting}from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder

artifact = Artifact.load("{folder}")
items = {items}
embedded = embed_items(open_encoder(artifact), items)
distances = artifact.distance.pairwise(embedded.embeddings, embedded.embeddings)
```

To recognise with it, make a gallery, enroll a few examples of each class (five serve well) and ask:

```console
ilk gallery create MY.gallery "{folder}"
ilk enroll MY.gallery YOUR_FOLDER
ilk identify MY.gallery FILE
```

A probe has the label of the closest class if its distance is within the threshold, and is unknown
otherwise. {_calibration(facts)}"""


def _advice(facts: CardFacts) -> str:
    if facts.is_imported:
        return (
            "Measure it on your own classes first. What it was trained on is not recorded here: "
            "seeing to it\nthat it has not learned from those classes is up to you."
        )
    return (
        "Measure it on your own classes first. Classes or images that it was trained on are "
        "recognised and\nrefused."
    )


def _calibration(facts: CardFacts) -> str:
    if facts.is_imported and not facts.num_validation_items:
        return (
            "This artifact has no calibration cohort, so a gallery cannot choose its\n"
            "threshold for a false positive identification rate (FPIR) by it: calibrate each "
            "gallery on\nstrangers of your own (`ilk gallery calibrate MY.gallery --strangers "
            "SOURCE`), or import the network\nwith a cohort."
        )
    return (
        "The gallery chooses the threshold for a false positive identification rate (FPIR) with\n"
        "the calibration cohort in this folder or, better, with strangers of your own\n"
        "(`ilk gallery calibrate`), and lets it follow as classes are enrolled."
    )


def _training(facts: CardFacts) -> str:
    rows = [(code(key), code(value)) for key, value in flatten(facts.recipe)]
    if facts.seed is not None:
        rows.append((code("seed"), code(str(facts.seed))))
    told = []
    if facts.duration_seconds is not None:
        machine = f" on {text(facts.hardware)}" if facts.hardware else ""
        told.append(f"Training took {duration(facts.duration_seconds)}{machine}.")
    if facts.parity is not None:
        told.append(
            "On real items, distances of the exported network differ from those of the trained "
            f"one by at most {facts.parity:.2g} (relative)."
        )
    listed = table(("Setting", "Value"), rows) if rows else ""
    parts = [part for part in (" ".join(told), listed) if part]
    title = "Import" if facts.is_imported else "Training"
    return f"## {title}\n\n" + "\n\n".join(parts) if parts else ""


def _limits(facts: CardFacts) -> str:
    limits = (
        "It says how alike two items look, not why. On another kind of item than it learned from, "
        "its distances may mean nothing: evaluate first.",
        "It does not check liveness: a photograph of a thing is as good as the thing.",
        "A distance is not a probability. Only a threshold calibrated on strangers gives it an "
        "error rate, and that rate holds for strangers like those.",
        _kept_of_classes(facts),
        "Embeddings can give away what they were made from: those of people are personal data.",
        *(text(limit) for limit in facts.limits),
    )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _kept_of_classes(facts: CardFacts) -> str:
    if facts.is_imported:
        return (
            "Which classes it was trained on is not recorded, so an evaluation on some of them is "
            "not noticed. Those of its cohort are kept as hashes: a name that can be guessed can "
            "be confirmed."
        )
    return (
        "Which classes it was trained on is kept as hashes: enough to detect an overlap, not to "
        "list them; a name that can be guessed can be confirmed."
    )


def _versions(facts: CardFacts) -> str:
    if not facts.versions:
        return ""
    rows = [(text(name), text(version)) for name, version in sorted(facts.versions.items())]
    return "## Made with\n\n" + table(("Library", "Version"), rows)
