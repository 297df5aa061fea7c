"""What an encoder is trained to make small: one loss per file, each on any distance."""

from ilk.losses.contrastive import Contrastive
from ilk.losses.gather import gather_embeddings
from ilk.losses.loss import Loss
from ilk.losses.normalized_softmax import NormalizedSoftmax
from ilk.losses.triplet import Triplet

__all__ = ["Contrastive", "Loss", "NormalizedSoftmax", "Triplet", "gather_embeddings"]
