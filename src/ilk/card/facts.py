"""What a card tells, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

__all__ = ["CardFacts"]


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
    distance: Mapping[str, Any]
    """`Distance.settings`."""
    preprocess: Mapping[str, Any]
    """`Preprocess.settings`."""
    num_classes: int = 0
    """Classes that training saw; 0 if the network was imported."""
    num_items: int = 0
    """Items that training saw; 0 if the network was imported."""
    loss: Mapping[str, Any] = field(default_factory=dict)
    """`name` and options of the loss; nothing if the network was imported."""
    imported_from: str = ""
    """The file or address of a network that was trained elsewhere; empty if it was trained here."""
    detector: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the detector whose regions it expects; nothing for whole items."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the run; nested mappings are shown with dotted names."""
    figures: Sequence[Mapping[str, Any]] = ()
    """Validation figures: `name`, `value` (a share or None), `low`, `high`, `num_trials`,
    `num_classes`, `note`."""
    source: str = ""
    """Where the training items come from, in words."""
    num_validation_classes: int = 0
    """Classes of the calibration cohort, by which the figures are."""
    num_validation_items: int = 0
    """Items of those classes."""
    num_parameters: int | None = None
    """Weights in the network."""
    pretrained_on: str = ""
    """What the initial or imported weights had learned from; empty if training began from
    scratch, or if whoever imported them did not say."""
    weights_licence: str = ""
    """Their licence; empty in the same cases."""
    one_at_a_time: bool = False
    """Whether inputs are embedded one by one, since those beside would move an embedding."""
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
    radii: Mapping[str, Any] = field(default_factory=dict)
    """Where validation embeddings lie in hyperbolic space (`ilk.radii.Radii.to_json`)."""
    limits: Sequence[str] = ()
    """Further limits that the maker of the artifact knows of, one sentence each."""

    @property
    def is_imported(self) -> bool:
        """Whether the network was trained elsewhere."""
        return bool(self.imported_from)
