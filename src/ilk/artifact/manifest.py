"""manifest.json: what an artifact says about itself, read with suspicion."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, final, get_args, get_origin, get_type_hints

from ilk.errors import DamagedArtifact, ForeignArtifact, InvalidInput, NewerArtifact

__all__ = ["FORMAT", "FORMAT_VERSION", "FileFacts", "Manifest", "Parity", "canonical_json"]

FORMAT = "ilk artifact"
"""What a manifest of ours calls itself."""

FORMAT_VERSION = 2
"""The newest format that this version of ilk writes and reads. The first is written where it says
all: earlier versions of ilk read that, and would misread the rest."""

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_LEVELS = 50
_MOST_DIMENSIONS = 1 << 20
_REMEDY = "copy the artifact again, or train again"


@final
@dataclass(frozen=True)
class FileFacts:
    """What a file of the artifact must be."""

    sha256: str
    """Of its bytes, in hexadecimal."""
    num_bytes: int


@final
@dataclass(frozen=True)
class Parity:
    """How far the ONNX network is from the torch network that it was exported from.

    A network that was imported has nothing to be compared with: no items, difference 0.
    """

    max_relative_difference: float
    """The largest over all pairs of items, of their distance."""
    num_items: int
    """How many real items were embedded by both."""


@final
@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All facts of an artifact; frozen, and plain data throughout."""

    encoder: Mapping[str, Any]
    """What the network is: its kind, options, number of parameters."""
    preprocess: Mapping[str, Any]
    """`Preprocess.settings`."""
    distance: Mapping[str, Any]
    """`Distance.settings`."""
    embedding_size: int
    """D."""
    training_classes: tuple[str, ...]
    """`class_hash` of each class that weights were fitted to, sorted; none are known of a network
    that was imported."""
    validation_classes: tuple[str, ...]
    """`class_hash` of each held-out class that chose the epoch and fills the cohort, sorted."""
    item_hashes: tuple[str, ...]
    """`short_hash` of the content of each training and validation item, sorted."""
    metrics: tuple[Mapping[str, Any], ...]
    """Validation figures: `name`, `value`, `low`, `high`, `num_trials`, `num_classes`, `note`."""
    versions: Mapping[str, str]
    """Versions of the libraries that made it."""
    weights_licence: str
    """Of the initial or imported weights; empty if training began from scratch."""
    pretrained_on: str
    """What the initial or imported weights had learned from; empty if training began from
    scratch."""
    config: Mapping[str, Any]
    """The resolved settings of the run."""
    seed: int
    parity: Parity
    files: Mapping[str, FileFacts]
    """Every other file by name."""
    one_at_a_time: bool = False
    """Whether inputs are to be embedded one by one, since those beside would move an embedding, or
    the network takes no more; from format 2 on."""
    encoder_fingerprint: str
    """A hash of the network, preprocessing and D: equal only if embeddings are comparable."""
    fingerprint: str
    """A hash of `encoder_fingerprint` and the distance: equal only if thresholds are, too."""

    def to_bytes(self) -> bytes:
        """Return the bytes of manifest.json, its own checksum included.

        Raises:
            InvalidInput: A value is not plain data that JSON can hold (NaN is not).
        """
        facts = asdict(self)
        is_first = not self.one_at_a_time and not isinstance(
            self.preprocess.get("size_pixels"), list | tuple
        )
        if is_first:
            del facts["one_at_a_time"]
        version = 1 if is_first else FORMAT_VERSION
        stated = {"format": FORMAT, "format_version": version, **facts}
        content = json.loads(canonical_json(stated))
        content["checksum"] = _checksum(content)
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    @staticmethod
    def from_bytes(data: bytes, where: str) -> Manifest:
        """Read manifest.json.

        Args:
            data: Its bytes.
            where: The folder, for messages.

        Raises:
            ForeignArtifact: It is a manifest of something else.
            NewerArtifact: Its format is newer than `FORMAT_VERSION`.
            DamagedArtifact: It is not what was written.
        """
        content = _parse(data, where)
        if content.get("format") != FORMAT:
            raise ForeignArtifact(
                f'{where}: expected a manifest.json with "format": "{FORMAT}", got one of '
                "something else; pass the folder that `ilk train` or `ilk artifact import` wrote"
            )
        _check_version(content.get("format_version"), where)
        checksum = content.pop("checksum", None)
        if checksum != _checksum(content):
            raise _damaged(where, "does not have the checksum that it was written with")
        return _build(content, where)


def canonical_json(content: Any) -> bytes:
    """Return the bytes that hashes are taken of: sorted keys, no spaces.

    Raises:
        InvalidInput: A value is not plain data that JSON can hold (NaN is not).

    Example:
        >>> canonical_json({"b": (1, 2), "a": None})
        b'{"a":null,"b":[1,2]}'
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "expected plain data for manifest.json (finite numbers, text, lists, mappings): "
            f"{error}"
        ) from None
    return text.encode()


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _damaged(where: str, what: str) -> DamagedArtifact:
    return DamagedArtifact(f"{where}: its manifest.json {what}; {_REMEDY}")


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"is not valid JSON ({error})") from None
    if not _is_shallow(content, _MOST_LEVELS):
        raise _damaged(where, f"is nested more than {_MOST_LEVELS} levels deep")
    if not isinstance(content, dict):
        raise ForeignArtifact(
            f"{where}: expected manifest.json to hold an object, got a {type(content).__name__}; "
            "pass the folder that `ilk train` or `ilk artifact import` wrote"
        )
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_shallow(each, levels - 1) for each in inner)


def _check_version(version: object, where: str) -> None:
    if type(version) is not int or version < 1:
        raise _damaged(where, f"has format_version {version!r} instead of a number from 1")
    if version > FORMAT_VERSION:
        raise NewerArtifact(
            f"{where}: expected format {FORMAT_VERSION} or older, got format {version}; it was "
            "written by a newer ilk: pip install --upgrade ilk"
        )


def _build(content: dict[str, Any], where: str) -> Manifest:
    """Make a manifest of parsed JSON, every type and every file name checked."""
    body = {key: content[key] for key in content if key not in ("format", "format_version")}
    if content["format_version"] == 1:
        body.setdefault("one_at_a_time", False)
    try:
        manifest: Manifest = _decode(body, Manifest, "manifest")
    except InvalidInput as error:
        raise _damaged(where, f"has the wrong content: {error}") from None
    for name, facts in manifest.files.items():
        if not _FILE_NAME.fullmatch(name):
            raise _damaged(where, f"names {name!r}, which is not a file inside of the artifact")
        if not _SHA256.fullmatch(facts.sha256):
            raise _damaged(where, f"has {facts.sha256!r} as the SHA-256 of {name}")
    if wrong := _wrong_facts(manifest):
        raise _damaged(where, f"has the wrong content: {wrong}")
    return manifest


def _wrong_facts(manifest: Manifest) -> str:
    """Return what of the facts that are free in form cannot be; "" if all can."""
    config = manifest.config
    detector, imported = config.get("detector", {"name": ""}), config.get("imported", {})
    num_parameters = manifest.encoder.get("num_parameters", 0)
    if not 1 <= manifest.embedding_size <= _MOST_DIMENSIONS:
        return f"embedding_size must be from 1 to {_MOST_DIMENSIONS}, got {manifest.embedding_size}"
    if not isinstance(detector, dict) or not isinstance(detector.get("name"), str):
        return f"config.detector must be settings with a name, got {detector!r}"
    if not isinstance(imported, dict):
        return f"config.imported must be settings, got {imported!r}"
    if type(num_parameters) is not int:
        return f"encoder.num_parameters must be a whole number, got {num_parameters!r}"
    return ""


def _decode(value: Any, kind: Any, path: str) -> Any:
    """Return JSON `value` as `kind`: a frozen dataclass, tuple, Mapping, Any or a plain type."""
    if kind is Any:
        return value
    origin, parameters = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        _require(value, dict, path)
        kinds = get_type_hints(kind)
        if value.keys() != kinds.keys():
            odd = ", ".join(sorted(value.keys() ^ kinds.keys()))
            raise InvalidInput(f"{path} must have the keys {', '.join(kinds)}; compare {odd}")
        return kind(**{key: _decode(value[key], kinds[key], f"{path}.{key}") for key in kinds})
    if origin is tuple:
        _require(value, list, path)
        return tuple(_decode(v, parameters[0], f"{path}[{i}]") for i, v in enumerate(value))
    if origin is Mapping:
        _require(value, dict, path)
        return {k: _decode(v, parameters[1], f"{path}.{k}") for k, v in value.items()}
    _require(value, kind, path)
    return value


def _require(value: Any, kind: type, path: str) -> None:
    if type(value) is not kind:
        raise InvalidInput(f"{path} must be a {kind.__name__}, got {type(value).__name__}")
