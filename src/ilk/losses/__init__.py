"""What an encoder is trained to make small: one loss per file, most of them on any distance."""

from ilk.losses.adaface import AdaFace
from ilk.losses.arcface import ArcFace
from ilk.losses.contrastive import Contrastive
from ilk.losses.gather import gather_embeddings
from ilk.losses.loss import Loss
from ilk.losses.normalized_softmax import NormalizedSoftmax
from ilk.losses.triplet import Triplet

__all__ = [
    "AdaFace",
    "ArcFace",
    "Contrastive",
    "Loss",
    "NormalizedSoftmax",
    "Triplet",
    "gather_embeddings",
]
