"""A learnt point per training class, in the space of the embeddings.

Shapes: N items, D embedding size, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ilk.distances import Distance
from ilk.errors import InvalidInput

__all__ = ["class_distances", "draw_class_weights"]


def draw_class_weights(num_classes: int, embedding_size: int) -> nn.Parameter:
    """Return (C, D) points at unit length, drawn with torch's global generator.

    Raises:
        InvalidInput: There are fewer than two classes, or D is below 1.
    """
    if num_classes < 2 or embedding_size < 1:
        raise InvalidInput(
            "num_classes must be at least 2 and embedding_size at least 1, got "
            f"{num_classes} and {embedding_size}"
        )
    return nn.Parameter(normalize(torch.randn(num_classes, embedding_size)))


def class_distances(
    distance: Distance, embeddings: Tensor, labels: Tensor, class_weights: Tensor
) -> Tensor:
    """Return the (N, C) distances of embeddings to class weights, in float32 or better.

    Args:
        distance: Any distance.
        embeddings: (N, D).
        labels: (N,), looked at only to refuse those that no class weight is for.
        class_weights: (C, D).

    Raises:
        InvalidInput: A label is not from 0 to C - 1, or the embeddings are not of size D.
    """
    num_classes, embedding_size = class_weights.shape
    if embeddings.shape[1] != embedding_size:
        raise InvalidInput(
            f"expected embeddings of size {embedding_size}, the class weights' size, got "
            f"{embeddings.shape[1]}"
        )
    smallest, largest = int(labels.min()), int(labels.max())
    if not 0 <= smallest <= largest < num_classes:
        raise InvalidInput(
            f"expected labels from 0 to {num_classes - 1}, got {smallest} to {largest}; number "
            "the training classes from 0"
        )
    dtype = torch.promote_types(embeddings.dtype, class_weights.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    return distance.pairwise(embeddings.to(dtype), class_weights.to(dtype))
