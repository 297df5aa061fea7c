"""The encoder of an artifact, run by ONNX Runtime. No torch here.

Shapes: N inputs, C, H, W channels, height and width of one, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from ilk.artifact import Artifact
from ilk.doors import door
from ilk.encoder import Encoder
from ilk.encoders.session import Session
from ilk.errors import ArtifactError, DamagedArtifact, InvalidInput
from ilk.preprocess import Preprocess

__all__ = [
    "MAX_EFFECT",
    "OnnxEncoder",
    "difference_of",
    "effect_in_words",
    "effect_of_company",
    "open_encoder",
]

MAX_EFFECT = 1e-4
"""How far the inputs beside it may move an embedding, as a share of its length. Rounding moves it
by a hundredth of that; a network that goes beyond is run on one input at a time."""

_BATCH_SIZE = 64

_MOST_THREADS = 1024


@door
def open_encoder(artifact: str | Path | Artifact, *, num_threads: int | None = None) -> OnnxEncoder:
    """Return the encoder of an artifact, ready to embed.

    Args:
        artifact: A loaded artifact, or the folder of one, which is then loaded and verified.
        num_threads: Threads within one batch; None is all cores that this process may use.

    Raises:
        ArtifactError: The artifact cannot be loaded, or its network cannot be run.
        InvalidInput: `num_threads` is below 1.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    try:
        return OnnxEncoder(
            loaded.onnx(),
            preprocess=loaded.preprocess,
            embedding_size=loaded.manifest.embedding_size,
            fingerprint=loaded.encoder_fingerprint,
            num_threads=num_threads,
            batch_size=1 if loaded.manifest.one_at_a_time else _BATCH_SIZE,
        )
    except DamagedArtifact as error:
        raise DamagedArtifact(f"{loaded.path}: {error}") from error


@final
class OnnxEncoder:
    """An `Encoder` that runs a network in ONNX form on the CPU.

    Safe to call from several threads at once. Memory that a batch needed is kept for the next one
    of its size, so batches are cut to at most `batch_size` rows.
    """

    def __init__(
        self,
        onnx: bytes,
        *,
        preprocess: Preprocess,
        embedding_size: int,
        fingerprint: str,
        num_threads: int | None = None,
        batch_size: int = _BATCH_SIZE,
    ) -> None:
        """Start a session.

        Args:
            onnx: The network: one input (N, ...) float32, one output (N, D) float32.
            preprocess: What makes its inputs.
            embedding_size: D.
            fingerprint: What `encoder_fingerprint` says of the three.
            num_threads: Threads within one batch; None is all cores that this process may use.
            batch_size: The most rows computed at once, at least 1. Only where it is 1 may the
                network be one that takes no more.

        Raises:
            DamagedArtifact: The network cannot be run or is not of this form.
            InvalidInput: A number is below 1.
        """
        is_counted = num_threads is None or 1 <= num_threads <= _MOST_THREADS
        if not is_counted or batch_size < 1:
            raise InvalidInput(
                f"num_threads and batch_size must be at least 1, and at most {_MOST_THREADS} "
                f"threads, got {num_threads} and {batch_size}"
            )
        try:
            self._session = Session(onnx, num_threads)
        except InvalidInput as error:
            raise DamagedArtifact(f"encoder.onnx cannot be run: {error}") from None
        _check_form(self._session, embedding_size, (1,) if batch_size == 1 else ())
        self._preprocess = preprocess
        self._embedding_size = embedding_size
        self._fingerprint = fingerprint
        self._batch_size = batch_size

    @property
    def embedding_size(self) -> int:
        """D."""
        return self._embedding_size

    @property
    def fingerprint(self) -> str:
        """A hash of network, preprocessing and size: equal only if embeddings are comparable."""
        return self._fingerprint

    @property
    def preprocess(self) -> Preprocess:
        """What turns an item's content into one row of `embed`'s input."""
        return self._preprocess

    def embed(self, inputs: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return the (N, D) float32 embeddings of N preprocessed inputs; (0, D) of none.

        Args:
            inputs: (N, C, H, W), as `Preprocess.inputs` makes them; any real dtype.

        Raises:
            InvalidInput: The shape is another one, or a value is not finite.
            ArtifactError: The network gives something that is not finite, does not end, or takes
                more memory than there is.
        """
        if not len(inputs):
            return np.empty((0, self._embedding_size), np.float32)
        batch = np.ascontiguousarray(inputs, dtype=np.float32)
        shape = self._preprocess.input_shape
        if shape is not None and batch.shape[1:] != shape:
            row = ", ".join(map(str, shape))
            raise InvalidInput(f"expected inputs of shape (N, {row}), got {batch.shape}")
        starts = range(0, len(batch), self._batch_size)
        embeddings = np.concatenate([self._run(batch[s : s + self._batch_size]) for s in starts])
        _check_finite(batch, embeddings)
        return embeddings

    def _run(self, batch: np.ndarray) -> np.ndarray:
        try:
            embeddings = self._session.run(batch)
        except InvalidInput as error:
            raise InvalidInput(f"the network does not take inputs {batch.shape}: {error}") from None
        if embeddings.shape != (len(batch), self._embedding_size):
            raise ArtifactError(
                f"expected embeddings of shape ({len(batch)}, {self._embedding_size}), the network "
                f"gave {embeddings.shape}; export it again"
            )
        return embeddings


def _check_form(session: Session, embedding_size: int, lengths: tuple[int, ...]) -> None:
    """Refuse a network with other than one input and one output of the right kind.

    Batches have any length, or one of `lengths`.
    """
    inputs, outputs = session.inputs, session.outputs
    found = [(node.type, node.shape) for node in (*inputs, *outputs)]
    if (
        (len(inputs), len(outputs)) == (1, 1)
        and all(kind == "tensor(float)" for kind, _ in found)
        and len(outputs[0].shape) == 2
        and outputs[0].shape[1] == embedding_size
        and all(s and (s[0] in lengths or not isinstance(s[0], int)) for _, s in found)
    ):
        return
    raise DamagedArtifact(
        "encoder.onnx must have one float32 input (N, ...) and one float32 output "
        f"(N, {embedding_size}) for any N, got {found}; export again"
    )


def effect_of_company(encoder: Encoder | Session, inputs: np.ndarray) -> float:
    """Return how far embeddings move with the inputs beside them, as a share of their length.

    Args:
        encoder: What embeds.
        inputs: (N, ...), embedded by themselves and together.
    """
    run = encoder.run if isinstance(encoder, Session) else encoder.embed
    alone = np.concatenate([run(inputs[i : i + 1]) for i in range(len(inputs))])
    return difference_of(run(inputs), alone)


def difference_of(embeddings: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest distance between rows of (N, D), as a share of the expected length.

    Example:
        >>> difference_of(np.array([[3.0, 4.5], [1.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 0.0]]))
        0.1
    """
    lengths = np.maximum(np.linalg.norm(expected, axis=1), np.finfo(np.float32).tiny)
    return float((np.linalg.norm(embeddings - expected, axis=1) / lengths).max(initial=0.0))


def effect_in_words(effect: float) -> str:
    """Return why a network is run on one input at a time."""
    return (
        f"an embedding moves by up to {effect:.1e} of its length with the inputs beside it, as "
        "after dynamic quantisation or an export in training mode"
    )


def _check_finite(batch: np.ndarray, embeddings: np.ndarray) -> None:
    rows = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if not len(rows):
        return
    if not np.isfinite(batch[rows[0]]).all():
        raise InvalidInput(f"inputs must be finite, got NaN or infinity in row {rows[0]}")
    raise ArtifactError(
        f"the network gives NaN or infinity for row {rows[0]}; its training has diverged, "
        "train again with a lower learning rate"
    )
