"""What a gallery is bound to: an encoder's fingerprint, a distance, an embedding size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from ilk.artifact import Artifact, Cohort, artifact_fingerprint
from ilk.distances import Distance, distance_from_settings
from ilk.errors import WrongEncoder
from ilk.store import Reader

__all__ = ["Binding", "kept_classes"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Binding:
    """The contract between a gallery and whatever makes its embeddings.

    An artifact gives one. Make one by hand for embeddings that come from elsewhere, with a
    fingerprint that changes whenever the encoder or its preprocessing does.

    Example:
        >>> from ilk.distances import Cosine
        >>> Binding(distance=Cosine(), embedding_size=512, encoder_fingerprint="clip 1").facts
        {'distance': {'name': 'cosine'}, 'embedding_size': 512, 'encoder_fingerprint': 'clip 1'}
    """

    distance: Distance
    embedding_size: int
    encoder_fingerprint: str
    cohort: Cohort | None = None
    """Held-out classes to calibrate with."""
    artifact: Artifact | None = None
    """Where it comes from, if from an artifact."""

    @staticmethod
    def of(artifact: Artifact | Binding | str | Path) -> Binding:
        """Return the binding of an artifact, loaded or a folder.

        Raises:
            ArtifactError: The artifact cannot be loaded.
        """
        if isinstance(artifact, Binding):
            return artifact
        loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
        return Binding(
            distance=loaded.distance,
            embedding_size=loaded.manifest.embedding_size,
            encoder_fingerprint=loaded.encoder_fingerprint,
            cohort=loaded.cohort,
            artifact=loaded,
        )

    @staticmethod
    def from_facts(
        facts: Mapping[str, Any], artifact: Artifact | None, cohort: Cohort | None
    ) -> Binding:
        """Return the binding that a store's facts describe.

        Raises:
            WrongEncoder: The artifact is not the one that the facts were written for.
        """
        if artifact is not None:
            binding = Binding.of(artifact)
            binding.require(facts)
            return binding
        return Binding(
            distance=distance_from_settings(facts["distance"]),
            embedding_size=facts["embedding_size"],
            encoder_fingerprint=facts["encoder_fingerprint"],
            cohort=cohort,
        )

    @property
    def fingerprint(self) -> str:
        """Of encoder and distance: thresholds of equal ones are comparable."""
        return artifact_fingerprint(self.encoder_fingerprint, self.distance)

    @property
    def facts(self) -> dict[str, Any]:
        """What a store keeps of it."""
        return {
            "distance": self.distance.settings,
            "embedding_size": self.embedding_size,
            "encoder_fingerprint": self.encoder_fingerprint,
        }

    def require(self, facts: Mapping[str, Any]) -> None:
        """Refuse if the facts of a gallery are not of this binding.

        Raises:
            WrongEncoder: Encoder, embedding size or distance differ.
        """
        for key, mine in self.facts.items():
            if facts[key] != mine:
                raise WrongEncoder(
                    f"the gallery is bound to {key.replace('_', ' ')} {_short(facts[key])}, this "
                    f"encoder has {_short(mine)}; their embeddings cannot be compared. Use the "
                    "artifact that the gallery was made with, or move it with `ilk gallery migrate`"
                )


def kept_classes(cohort: Cohort, reader: Reader) -> Cohort:
    """Return a cohort without the classes that were erased from a gallery."""
    closed = reader.suppressed(f"class {name}" for name in cohort.class_hashes)
    if not closed:
        return cohort
    is_kept = np.array([f"class {name}" not in closed for name in cohort.class_hashes], bool)
    return cohort.only(is_kept[cohort.class_ids])


def _short(value: Any) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) > 16 else str(value)
