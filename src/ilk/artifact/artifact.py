"""An encoder artifact: load one that is known to be whole, write one that is whole or not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from ilk.artifact.cohort import Cohort
from ilk.artifact.files import damaged, read_file, read_small_file, verify_file
from ilk.artifact.folder import find_leftovers, is_leftover, is_taken, publish_folder
from ilk.artifact.manifest import FileFacts, Manifest, Parity, canonical_json
from ilk.distances import Distance, distance_from_settings
from ilk.doors import doors
from ilk.encoder import encoder_fingerprint
from ilk.errors import ArtifactError, DamagedArtifact, ForeignArtifact, InvalidInput
from ilk.preprocess import Preprocess

__all__ = ["Artifact", "ArtifactParts", "artifact_fingerprint", "check_output", "write_artifact"]

_MANIFEST = "manifest.json"
_ONNX, _WEIGHTS, _COHORT, _CARD = "encoder.onnx", "weights.safetensors", "cohort.npz", "CARD.md"
_NEEDED = (_ONNX, _COHORT, _CARD)
_FILES = (*_NEEDED, _WEIGHTS)
_NUM_ATTEMPTS = 10


@final
@doors
@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """A loaded artifact: every file is there and has the hash that it was written with."""

    path: Path
    manifest: Manifest
    distance: Distance
    preprocess: Preprocess
    cohort: Cohort

    @property
    def fingerprint(self) -> str:
        """Of network, preprocessing, size and distance: thresholds of equal ones are comparable."""
        return self.manifest.fingerprint

    @property
    def encoder_fingerprint(self) -> str:
        """Of network, preprocessing and size: embeddings of equal ones are comparable."""
        return self.manifest.encoder_fingerprint

    @property
    def detector(self) -> Mapping[str, Any]:
        """The settings of the detector that its pictures are to come from."""
        stated: Mapping[str, Any] = self.manifest.config.get("detector", {"name": "whole_image"})
        return stated

    @staticmethod
    def load(path: str | Path) -> Artifact:
        """Read an artifact and verify all of it; torch is not needed.

        Extra files are left alone. A file may be a link, if what it points to has the right hash.

        Raises:
            ForeignArtifact: There is no artifact at `path`.
            NewerArtifact: It was written by a newer version of ilk.
            DamagedArtifact: A file is missing or is not the one that was written.
        """
        path = Path(path)
        for _ in range(_NUM_ATTEMPTS - 1):
            before = _identity(path)
            try:
                return _load(path)
            except ArtifactError:
                if before == _identity(path):
                    raise
        return _load(path)

    def read(self, name: str) -> bytes:
        """Return the bytes of one of its files, verified as they are read.

        Raises:
            InvalidInput: The manifest names no such file.
            DamagedArtifact: The file has changed since the artifact was loaded.
        """
        if name not in self.manifest.files:
            known = ", ".join(sorted(self.manifest.files))
            raise InvalidInput(f"expected one of the artifact's files {known}, got {name!r}")
        return read_file(self.path, name, self.manifest.files[name])

    def onnx(self) -> bytes:
        """Return the network in ONNX form, verified."""
        return self.read(_ONNX)

    def copy_to(self, path: str | Path) -> Path:
        """Write a copy of it, without files that are not its own, and return its folder.

        Raises:
            ArtifactError: Something is at `path`, or a file has changed since it was loaded.
        """
        files = {name: self.read(name) for name in self.manifest.files}
        publish_folder(Path(path), files | {_MANIFEST: self.manifest.to_bytes()})
        return Path(path)

    def put_cohort(self, cohort: Cohort) -> None:
        """Write another cohort in place of its own, and the manifest that goes with it, in one.

        Raises:
            DamagedArtifact: A file has changed since the artifact was loaded.
            OSError: The disk refuses; the artifact is as it was.
        """
        content = cohort.to_bytes()
        files = {name: self.read(name) for name in self.manifest.files} | {_COHORT: content}
        facts = FileFacts(hashlib.sha256(content).hexdigest(), len(content))
        manifest = replace(self.manifest, files={**self.manifest.files, _COHORT: facts})
        files[_MANIFEST] = manifest.to_bytes()
        publish_folder(self.path, files, may_replace=True)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ArtifactParts:
    """What an artifact is written from; `Manifest` says what the shared fields mean."""

    onnx: bytes
    """The network: "inputs" (N, C, H, W) float32 -> "embeddings" (N, D) float32."""
    weights: bytes | None = None
    """The same weights in safetensors form; None if they are to be had from the network only."""
    cohort: Cohort
    encoder: Mapping[str, Any]
    preprocess: Preprocess
    distance: Distance
    embedding_size: int
    training_classes: tuple[str, ...]
    """`class_hash` of each."""
    validation_classes: tuple[str, ...]
    """`class_hash` of each."""
    item_hashes: tuple[str, ...]
    """`short_hash` of each training and validation item."""
    metrics: tuple[Mapping[str, Any], ...]
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    seed: int
    parity: Parity
    one_at_a_time: bool = False
    weights_licence: str = ""
    pretrained_on: str = ""
    card: str = ""
    """CARD.md."""


def artifact_fingerprint(encoder: str, distance: Distance) -> str:
    """Return the hash that binds thresholds: of an encoder's fingerprint and a distance."""
    return hashlib.sha256(canonical_json([encoder, distance.settings])).hexdigest()


def write_artifact(path: str | Path, parts: ArtifactParts, *, overwrite: bool = False) -> Path:
    """Write an artifact atomically: a crash leaves what was there before, or all of the new one.

    Equal parts give equal bytes.

    Args:
        path: The folder to make; an empty one is filled.
        parts: What to write.
        overwrite: Replace an artifact that is there. Anything else is never replaced.

    Raises:
        ArtifactError: The target exists and is not to be replaced.
        InvalidInput: A part cannot be written down as JSON, or the cohort has another D.
    """
    if parts.cohort.embeddings.shape[1] != parts.embedding_size:
        raise InvalidInput(
            f"the cohort must have embeddings of size {parts.embedding_size}, "
            f"got {parts.cohort.embeddings.shape[1]}"
        )
    files = {
        _ONNX: parts.onnx,
        _COHORT: parts.cohort.to_bytes(),
        _CARD: parts.card.encode(),
    }
    if parts.weights is not None:
        files[_WEIGHTS] = parts.weights
    manifest = _describe(parts, files).to_bytes()
    check_output(path, overwrite=overwrite)
    publish_folder(Path(path), files | {_MANIFEST: manifest}, may_replace=overwrite)
    return Path(path)


def check_output(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a target that `write_artifact` would refuse; call it before any long work.

    Raises:
        ArtifactError: Something is at `path` that is not to be replaced.
    """
    target = Path(path)
    if not is_taken(target):
        return
    if not overwrite:
        raise ArtifactError(
            f"{target} exists already; choose another output, or ask to overwrite it"
        )
    names = {entry.name for entry in target.iterdir()} if target.is_dir() else set()
    extra = sorted(names - {_MANIFEST, *_FILES})
    if _MANIFEST not in names or extra:
        what = f"holds {', '.join(extra[:3])}" if extra else "is not an artifact"
        raise ArtifactError(
            f"{target} {what}; only a folder with nothing but an artifact in it is overwritten, "
            "so choose another output"
        )


def _describe(parts: ArtifactParts, files: Mapping[str, bytes]) -> Manifest:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    encoder = encoder_fingerprint(digests[_ONNX], parts.preprocess, parts.embedding_size)
    return Manifest(
        encoder=parts.encoder,
        preprocess=parts.preprocess.settings,
        distance=parts.distance.settings,
        embedding_size=parts.embedding_size,
        training_classes=tuple(sorted(set(parts.training_classes))),
        validation_classes=tuple(sorted(set(parts.validation_classes))),
        item_hashes=tuple(sorted(set(parts.item_hashes))),
        metrics=parts.metrics,
        versions=parts.versions,
        weights_licence=parts.weights_licence,
        pretrained_on=parts.pretrained_on,
        config=parts.config,
        seed=parts.seed,
        parity=parts.parity,
        one_at_a_time=parts.one_at_a_time,
        files={name: FileFacts(digests[name], len(files[name])) for name in files},
        encoder_fingerprint=encoder,
        fingerprint=artifact_fingerprint(encoder, parts.distance),
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from the one that an overwrite puts in its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _load(path: Path) -> Artifact:
    _check_folder(path)
    manifest = Manifest.from_bytes(_read_manifest(path), str(path))
    absent = sorted(set(_NEEDED) - manifest.files.keys())
    if absent:
        raise damaged(path, f"its manifest.json does not list {', '.join(absent)}")
    for name in sorted(manifest.files.keys() - {_COHORT}):
        verify_file(path, name, manifest.files[name])
    try:
        distance = distance_from_settings(dict(manifest.distance))
        preprocess = Preprocess.from_settings(dict(manifest.preprocess))
        cohort = Cohort.from_bytes(read_file(path, _COHORT, manifest.files[_COHORT]))
    except InvalidInput as error:
        raise damaged(path, str(error)) from None
    _check_agreement(path, manifest, distance, preprocess, cohort)
    return Artifact(
        path=path, manifest=manifest, distance=distance, preprocess=preprocess, cohort=cohort
    )


def _check_agreement(
    path: Path, manifest: Manifest, distance: Distance, preprocess: Preprocess, cohort: Cohort
) -> None:
    """Check that the parts of a manifest belong together."""
    if cohort.embeddings.shape[1] != manifest.embedding_size:
        raise damaged(path, "its cohort has another embedding size than its manifest")
    onnx = manifest.files[_ONNX].sha256
    encoder = encoder_fingerprint(onnx, preprocess, manifest.embedding_size)
    whole = artifact_fingerprint(encoder, distance)
    if (manifest.encoder_fingerprint, manifest.fingerprint) != (encoder, whole):
        raise damaged(path, "its fingerprints are not those of its parts")


def _check_folder(path: Path) -> None:
    if is_leftover(path):
        raise DamagedArtifact(f"{path} is what an interrupted write left behind; delete it")
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        left = [p for p in find_leftovers(path) if (p / _MANIFEST).is_file()]
        advice = (
            f"an interrupted overwrite left {left[0]}: rename it to {path.name}"
            if left and not path.exists()
            else "pass the folder that `ilk train` or `ilk artifact import` wrote, or `faces`"
        )
        raise ForeignArtifact(f"expected an artifact folder at {path}, got {what}; {advice}")


def _read_manifest(path: Path) -> bytes:
    if not os.path.lexists(path / _MANIFEST):
        if all((path / name).is_file() for name in (_ONNX, _COHORT)):
            raise damaged(path, "manifest.json is missing")
        what = "other files" if any(path.iterdir()) else "an empty folder"
        raise ForeignArtifact(
            f"{path}: expected an artifact with a manifest.json, got {what}; pass the folder that "
            "`ilk train` or `ilk artifact import` wrote"
        )
    return read_small_file(path, _MANIFEST)
