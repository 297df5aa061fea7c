"""CARD.md: what a person should know about an encoder artifact before using it.

Plain data in, Markdown out, so that a card can be written by training and read, quoted or drawn
by everything else. Equal facts give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

__all__ = ["CardFacts", "render_card"]


@final
@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card tells. Everything is plain data: strings, numbers, mappings of them."""

    name: str
    """What the artifact is called, usually its folder."""
    encoder: str
    """Which network, in words a reader can look up: "small", "timm resnet18"."""
    embedding_size: int
    """D, the numbers per embedding."""
    num_classes: int
    """Classes that training saw."""
    num_items: int
    """Items that training saw."""
    distance: Mapping[str, Any]
    """`Distance.settings`."""
    preprocess: Mapping[str, Any]
    """`Preprocess.settings`."""
    loss: Mapping[str, Any]
    """`name` and options of the loss."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the run; nested mappings are shown with dotted names."""
    figures: Sequence[Mapping[str, Any]] = ()
    """Validation figures: `name`, `value` (a share or None), `low`, `high`, `num_trials`,
    `num_classes`, `note`."""
    source: str = ""
    """Where the training items come from, in words."""
    num_validation_classes: int = 0
    """Held-out classes that validation and the calibration cohort use."""
    num_validation_items: int = 0
    """Items of those classes."""
    num_parameters: int | None = None
    """Weights in the network."""
    pretrained_on: str = ""
    """What the initial weights had learned from; empty if training began from scratch."""
    weights_licence: str = ""
    """The licence of the initial weights; empty if training began from scratch."""
    parity: float | None = None
    """Largest relative difference of distances between the trained and the exported network."""
    seed: int | None = None
    """The seed of the run."""
    duration_seconds: float | None = None
    """How long training took."""
    hardware: str = ""
    """What it ran on, in words."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries that made it."""
    fingerprint: str = ""
    """Of the encoder; embeddings are comparable only if it is equal."""
    created: str = ""
    """The date, as the caller wants it shown."""
    limits: Sequence[str] = ()
    """Further limits that the maker of the artifact knows of, one sentence each."""


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
        _use(facts),
        _training(facts),
        _limits(facts),
        _versions(facts),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(facts: CardFacts) -> str:
    distance = _name(facts.distance)
    learned = f"{_count(facts.num_classes, 'class', 'classes')} ({_count(facts.num_items, 'item')})"
    origin = f" of {_text(facts.source)}" if facts.source else ""
    began = (
        f"It began with weights that had learned from {_text(facts.pretrained_on)}."
        if facts.pretrained_on
        else "It began from scratch, without pretrained weights."
    )
    parameters = [("Parameters", f"{facts.num_parameters:,}")] if facts.num_parameters else []
    about = [
        ("Encoder", _text(facts.encoder)),
        *parameters,
        ("Embedding", f"{facts.embedding_size} numbers"),
        ("Distance", _settings(facts.distance)),
        ("Preprocessing", _settings(facts.preprocess)),
        ("Loss", _settings(facts.loss)),
        ("Licence of the initial weights", _text(facts.weights_licence) or "none: from scratch"),
        ("Fingerprint", _code(facts.fingerprint)),
        ("Made", _text(facts.created)),
    ]
    return (
        f"# {_text(facts.name)}\n\n"
        f"An encoder that places items of one class close together under the {distance} distance. "
        f"It learned from {learned}{origin} and is meant for classes that it never saw: enroll "
        f"a few examples of each, and nothing is retrained. {began}\n\n"
        + _table(("", ""), [(key, value) for key, value in about if value])
    )


def _figures(facts: CardFacts) -> str:
    if not facts.figures:
        return ""
    held_out = (
        f"On {_count(facts.num_validation_classes, 'class', 'classes')} "
        f"({_count(facts.num_validation_items, 'item')}) held out of training. "
        if facts.num_validation_classes
        else ""
    )
    rows = [_figure_row(figure) for figure in facts.figures]
    header = ("Figure", "Value", "95 % interval", "Trials", "Classes", "Note")
    return (
        f"## Validation\n\n{held_out}They also chose which epoch was kept, so expect other data to "
        "come out somewhat worse. Intervals are from a bootstrap by class.\n\n"
        + _table(header, rows)
    )


def _figure_row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = figure.get("low"), figure.get("high")
    return (
        _code(str(figure["name"])),
        _share(figure.get("value")),
        "" if low is None or high is None else f"{_share(low)} to {_share(high)}",
        f"{figure.get('num_trials', 0):,}",
        f"{figure.get('num_classes', 0):,}",
        _text(str(figure.get("note", ""))),
    )


def _use(facts: CardFacts) -> str:
    folder = facts.name.replace("\\", "").replace('"', "").replace("\n", " ").replace("`", "")
    return f"""## Use

Measure it on your own classes first. Classes or images that it was trained on are recognised and
refused:

```console
ilk evaluate "{folder}" YOUR_FOLDER --report report.html
```

From Python, without torch:

```python
from ilk.artifact import Artifact
from ilk.datasets import open_source
from ilk.embedding import embed_items
from ilk.encoders.onnx import open_encoder

artifact = Artifact.load("{folder}")
embedded = embed_items(open_encoder(artifact), open_source("YOUR_FOLDER"))
distances = artifact.distance.pairwise(embedded.embeddings, embedded.embeddings)
```

To recognise with it, make a gallery, enroll a few examples of each class (five serve well) and ask:

```console
ilk gallery create MY.gallery "{folder}"
ilk enroll MY.gallery YOUR_FOLDER
ilk identify MY.gallery FILE
```

A probe has the label of the closest class if its distance is within the threshold, and is unknown
otherwise. The gallery chooses the threshold for a false positive identification rate (FPIR) with
the calibration cohort in this folder or, better, with strangers of your own
(`ilk gallery calibrate`), and lets it follow as classes are enrolled."""


def _training(facts: CardFacts) -> str:
    rows = [(_code(key), _code(value)) for key, value in _flatten(facts.recipe)]
    if facts.seed is not None:
        rows.append((_code("seed"), _code(str(facts.seed))))
    told = []
    if facts.duration_seconds is not None:
        machine = f" on {_text(facts.hardware)}" if facts.hardware else ""
        told.append(f"Training took {_duration(facts.duration_seconds)}{machine}.")
    if facts.parity is not None:
        told.append(
            "On real items, distances of the exported network differ from those of the trained "
            f"one by at most {facts.parity:.2g} (relative)."
        )
    body = " ".join(told)
    table = _table(("Setting", "Value"), rows) if rows else ""
    parts = [part for part in (body, table) if part]
    return "## Training\n\n" + "\n\n".join(parts) if parts else ""


def _limits(facts: CardFacts) -> str:
    limits = (
        "It says how alike two items look, not why. On another kind of item than it learned from, "
        "its distances may mean nothing: evaluate first.",
        "It does not check liveness: a photograph of a thing is as good as the thing.",
        "A distance is not a probability. Only a threshold calibrated on strangers gives it an "
        "error rate, and that rate holds for strangers like those.",
        "Which classes it was trained on is kept as hashes: enough to detect an overlap, not to "
        "list them; a name that can be guessed can be confirmed.",
        "Embeddings can give away what they were made from: those of people are personal data.",
        *(_text(limit) for limit in facts.limits),
    )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _versions(facts: CardFacts) -> str:
    if not facts.versions:
        return ""
    rows = [(_text(name), _text(version)) for name, version in sorted(facts.versions.items())]
    return "## Made with\n\n" + _table(("Library", "Version"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """List (dotted name, value) of nested settings, sorted by name."""
    rows: list[tuple[str, str]] = []
    for key in sorted(settings, key=str):
        value = settings[key]
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _plain(value)))
    return rows


def _settings(settings: Mapping[str, Any]) -> str:
    options = [(key, value) for key, value in _flatten(settings) if key != "name"]
    described = [_code(f"{key}={value}") for key, value in options]
    return ", ".join(part for part in (_name(settings), *described) if part)


def _name(settings: Mapping[str, Any]) -> str:
    return _text(str(settings.get("name", "")))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return " ".join(_plain(part) for part in value)
    return str(value)


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f} %"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _code(text: str) -> str:
    """Return `text` as inline code that no character of it can end."""
    flat = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{flat}`" if flat else ""


def _text(text: str) -> str:
    """Return `text` as one line in which no character is Markdown or HTML."""
    flat = " ".join(text.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#&" else c for c in flat)
