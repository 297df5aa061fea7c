"""From a network and what is known of it to an artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ilk.artifact import (
    ArtifactParts,
    Parity,
    check_output,
    class_hash,
    installed_versions,
    short_hash,
    write_artifact,
)
from ilk.card import CardFacts, render_card
from ilk.detecting import Choice, open_detector
from ilk.detector import Detector
from ilk.distances import Distance
from ilk.encoder import encoder_fingerprint
from ilk.encoders.onnx import MAX_EFFECT, OnnxEncoder, effect_in_words, effect_of_company
from ilk.errors import UnreadableItem
from ilk.importing.cohort import Measured, Progress, empty_cohort, find_probes, measure_cohort
from ilk.importing.network import Network, read_network
from ilk.items import Items
from ilk.preprocess import Preprocess
from ilk.unreadable import OnUnreadable

__all__ = ["import_encoder"]

_LIBRARIES = ("ilk", "numpy", "onnx", "onnxruntime", "opencv-python-headless", "pillow")
_MOST_EXAMPLES = 8


def import_encoder(
    onnx: bytes | str | Path,
    *,
    preprocess: Preprocess,
    distance: Distance,
    output: str | Path,
    detector: Detector | Mapping[str, Any] | str | None = None,
    cohort: Items | None = None,
    choice: Choice = "only",
    licence: str = "",
    pretrained_on: str = "",
    source: str = "",
    title: str = "onnx",
    embedding_output: str | None = None,
    on_unreadable: OnUnreadable = "stop",
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the artifact of a network that was trained elsewhere, and return its folder.

    The network is tried out first. Its form may be changed (any number of inputs at once, one
    output, unpacked weights), never what it computes.

    Args:
        onnx: The network: a .onnx file or its bytes.
        preprocess: How its inputs are made. Nobody can find that out by looking at the network;
            whoever published it says it.
        distance: Under which it was trained.
        output: The folder to make.
        detector: What finds in pictures what the network is to see; None is the whole picture. It
            is kept in the artifact, for every gallery made of it.
        cohort: Labelled items of classes that the network has not learned from, if possible: their
            embeddings calibrate thresholds, and the figures of the card are of them. None is none.
        choice: Which of several regions of a picture of the cohort is meant.
        licence: Of the weights.
        pretrained_on: What they learned from, in words.
        source: Where the network is published, an address.
        title: What the network is called, in a word or two.
        embedding_output: The output that is the embedding, if there are several, or a value inside.
        on_unreadable: Whether an item of the cohort that cannot be read stops the import.
        overwrite: Whether an artifact at `output` is replaced.
        tell: Called with a line about what a person should know.
        progress: Called with (stage, steps done, all steps).

    Raises:
        InvalidInput: The network is not an encoder; the message says why, and what to do.
        DataError: The cohort is empty, or nothing is detected in it.
        UnreadableItem: An item cannot be read, and is not to be skipped.
        ArtifactError: `output` exists and is not to be replaced.
        MissingExtra: `onnx`, or what the detector needs, is not installed.
    """
    check_output(output, overwrite=overwrite)
    tell, preprocess = tell or _say_nothing, _with_floats(preprocess)
    looks = detector if isinstance(detector, Detector) else open_detector(detector)
    examples = _examples(preprocess, cohort)
    network = read_network(onnx, preprocess, output=embedding_output, examples=examples)
    if network.weights_beside:
        tell(f"took in the weights in {', '.join(network.weights_beside)} beside it")
    encoder, reason = _encoder(network, preprocess), network.reason_for_one
    measured = Measured(empty_cohort(network.embedding_size), Items(()), (), ())
    if cohort is not None:
        probes = find_probes(looks, cohort, choice, progress)
        effect = 0.0 if reason else _effect_among(encoder, probes)
        if effect > MAX_EFFECT:
            reason = effect_in_words(effect)
            encoder = _encoder(network, preprocess, batch_size=1)
        measured = measure_cohort(
            encoder, distance, probes, on_unreadable=on_unreadable, progress=progress
        )
        _tell_problems(measured.items, tell)
    else:
        tell(
            "There is no cohort: a gallery made of this artifact has no threshold until it is "
            "calibrated on strangers of its own (ilk gallery calibrate GALLERY --strangers SOURCE)."
        )
    if reason:
        tell(f"The network is run on one input at a time, which takes longer: {reason}.")
    parts = _parts(network, measured, preprocess, distance, title, source)
    parts = replace(parts, one_at_a_time=bool(reason))
    if not looks.is_whole:
        parts = replace(parts, config={**parts.config, "detector": _settings(detector)})
    parts = replace(parts, weights_licence=licence, pretrained_on=pretrained_on)
    name = Path(output).resolve().name
    parts = replace(parts, card=_card(name, parts, measured.items, encoder.fingerprint))
    return write_artifact(output, parts, overwrite=overwrite)


def _encoder(network: Network, preprocess: Preprocess, batch_size: int = 64) -> OnnxEncoder:
    digest = hashlib.sha256(network.onnx).hexdigest()
    return OnnxEncoder(
        network.onnx,
        preprocess=preprocess,
        embedding_size=network.embedding_size,
        fingerprint=encoder_fingerprint(digest, preprocess, network.embedding_size),
        batch_size=1 if network.reason_for_one else batch_size,
    )


def _effect_among(encoder: OnnxEncoder, probes: Items) -> float:
    """Return how far embeddings of real items move with those beside; a few items tell."""
    loaded: list[np.ndarray] = []
    for item in probes.items[:_MOST_EXAMPLES]:
        with suppress(UnreadableItem):
            loaded.append(encoder.preprocess.load(item))
    alike = [array for array in loaded if array.shape == loaded[0].shape]
    return effect_of_company(encoder, encoder.preprocess.inputs(alike)) if alike else 0.0


def _with_floats(preprocess: Preprocess) -> Preprocess:
    """Return the same preprocessing with 0.0 for 0: what is equal has one fingerprint."""
    mean, std = (tuple(map(float, values)) for values in (preprocess.mean, preprocess.std))
    return replace(preprocess, mean=mean, std=std, crop_fraction=float(preprocess.crop_fraction))


def _settings(detector: Detector | Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return the settings of a detector as they were given: what was left out stays free."""
    if isinstance(detector, str):
        return {"name": detector}
    return dict(detector.settings if isinstance(detector, Detector) else detector or {})


def _say_nothing(line: str) -> None:
    pass


def _examples(preprocess: Preprocess, cohort: Items | None) -> np.ndarray | None:
    """Return inputs for trying out a network that takes arrays of any shape; noise does for others.

    Raises:
        UnreadableItem: One of the first items of the cohort is not an array.
    """
    if cohort is None or preprocess.input_shape is not None or not len(cohort):
        return None
    first = preprocess.load(cohort.items[0])
    further = [preprocess.load(item) for item in cohort.items[1:_MOST_EXAMPLES]]
    return preprocess.inputs([first, *(array for array in further if array.shape == first.shape)])


def _tell_problems(items: Items, tell: Callable[[str], None]) -> None:
    for problem in items.problems:
        tell(f"left out of the cohort: {problem.name}: {problem.reason}")


def _parts(
    network: Network,
    measured: Measured,
    preprocess: Preprocess,
    distance: Distance,
    title: str,
    source: str,
) -> ArtifactParts:
    told = {"file": network.file_name, "sha256": network.sha256, "source": source}
    imported = {name: value for name, value in told.items() if value}
    return ArtifactParts(
        onnx=network.onnx,
        cohort=measured.cohort,
        encoder={"name": title, "num_parameters": network.num_parameters},
        preprocess=preprocess,
        distance=distance,
        embedding_size=network.embedding_size,
        training_classes=(),
        validation_classes=tuple(map(class_hash, measured.items.classes)),
        item_hashes=tuple(map(short_hash, measured.hashes)),
        metrics=tuple(asdict(figure) for figure in measured.figures),
        versions=installed_versions(_LIBRARIES),
        config={"imported": imported},
        seed=0,
        parity=Parity(0.0, 0),
    )


def _card(name: str, parts: ArtifactParts, cohort: Items, fingerprint: str) -> str:
    imported = parts.config["imported"]
    facts = CardFacts(
        name=name,
        encoder=str(parts.encoder["name"]),
        embedding_size=parts.embedding_size,
        distance=parts.distance.settings,
        preprocess=parts.preprocess.settings,
        imported_from=imported.get("source") or imported.get("file") or "memory",
        detector=parts.config.get("detector", {}),
        recipe=parts.config,
        figures=parts.metrics,
        source=cohort.origin,
        num_validation_classes=len(cohort.classes),
        num_validation_items=len(cohort),
        num_parameters=parts.encoder["num_parameters"],
        pretrained_on=parts.pretrained_on,
        weights_licence=parts.weights_licence,
        one_at_a_time=parts.one_at_a_time,
        versions=parts.versions,
        fingerprint=fingerprint,
    )
    return render_card(facts)
