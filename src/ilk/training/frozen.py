"""A backbone that does not learn: run once over every item, remembered by content.

Shapes: N items, F feature size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, final

import numpy as np
import torch

from ilk.embedding import EmbeddingCache, embed_items
from ilk.encoders.trainable import TrainableEncoder
from ilk.items import Items
from ilk.preprocess import Preprocess
from ilk.training.loading import InMemory

__all__ = ["BackboneEncoder", "load_features"]


@final
class BackboneEncoder:
    """A backbone as an `Encoder`, in float32 and evaluation mode.

    Args:
        encoder: Whose backbone it is.
        device: Where it runs.
    """

    def __init__(self, encoder: TrainableEncoder, device: torch.device) -> None:
        self._backbone = encoder.backbone
        self._device = device
        self.embedding_size: int = encoder.feature_size
        self.preprocess: Preprocess = encoder.preprocess

    @cached_property
    def fingerprint(self) -> str:
        """A hash of structure, weights and preprocessing."""
        digest = hashlib.sha256(repr(self._backbone).encode())
        digest.update(json.dumps(self.preprocess.settings, sort_keys=True).encode())
        for name, tensor in sorted(self._backbone.state_dict().items()):
            content = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {content.dtype} {tuple(content.shape)}".encode())
            digest.update(content.flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def embed(self, inputs: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return (N, F) float32 features of preprocessed inputs."""
        was_training = self._backbone.training
        self._backbone.eval()
        with torch.no_grad():
            batch = torch.from_numpy(np.asarray(inputs, np.float32)).to(self._device)
            features: np.ndarray = self._backbone(batch).float().cpu().numpy()
        self._backbone.train(was_training)
        return features


def load_features(
    encoder: TrainableEncoder,
    items: Items,
    *,
    device: torch.device,
    on_unreadable: Literal["stop", "skip"] = "stop",
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> InMemory:
    """Return what the backbone gives for each item, (N, F), computed once per content.

    Args:
        encoder: Whose backbone runs.
        items: What it runs over.
        device: Where it runs.
        on_unreadable: Whether an item that cannot be read stops, or is skipped.
        cache: Keeps features by content hash and fingerprint for later runs.
        progress: Called with (items done, items in all).

    Raises:
        UnreadableItem: An item cannot be read, and that should stop.
    """
    encoder.backbone.to(device)
    found = embed_items(
        BackboneEncoder(encoder, device),
        items,
        on_unreadable=on_unreadable,
        cache=cache,
        progress=progress,
    )
    return InMemory(torch.from_numpy(found.embeddings), found.items)
