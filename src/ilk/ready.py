"""Ready artifacts: encoders that others trained and published, by name.

`faces` is SFace behind the detector of the same name. It is built from its model file once, into
the cache, and is verified whenever it is used.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ilk import importing
from ilk.artifact import Artifact, class_hash
from ilk.artifact.manifest import canonical_json
from ilk.cache_folder import cache_folder
from ilk.detecting import Choice
from ilk.distances import Cosine
from ilk.errors import ArtifactError, InvalidInput
from ilk.importing.cohort import Progress
from ilk.items import Items
from ilk.model_files import ModelFile, folded, model_file
from ilk.preprocess import Preprocess
from ilk.unreadable import OnUnreadable

__all__ = ["READY", "artifact_path", "ready_artifact"]

READY = ("faces",)
"""The names of the ready artifacts."""

_PREPROCESS = Preprocess(size_pixels=112, mean=(0.0,), std=(1 / 255,))
"""RGB from 0 to 255, as SFace was trained; crops of the detector are 112 pixels already."""

_DETECTOR = {"name": "faces", "size_pixels": 112}

_LEARNED_FROM = (
    "photographs of people gathered from the web, without asking them (the paper of SFace trains "
    "on CASIA-WebFace, VGGFace2 and MS-Celeb-1M; which of them this file learned from is not "
    "stated where it is published)"
)


def ready_artifact(
    name: str = "faces",
    *,
    weights: str | Path | None = None,
    cohort: Items | None = None,
    choice: Choice = "only",
    output: str | Path | None = None,
    on_unreadable: OnUnreadable = "stop",
    may_download: bool = True,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of a ready artifact, which is made if it is not there yet.

    Without a cohort and an output it is made once and kept in the cache.

    Args:
        name: One of `READY`.
        weights: The model file, or a folder that holds it; it is looked for if not given.
        cohort: Labelled items whose embeddings calibrate thresholds; see `import_encoder`.
        choice: Which of several faces in a picture of the cohort is meant.
        output: The folder to make; None is one in the cache.
        on_unreadable: Whether an item of the cohort that cannot be read stops.
        may_download: Whether the model file may be fetched if it is not on this machine.
        overwrite: Whether an artifact at `output` is replaced.
        tell: Called with a line about what a person should know.
        progress: Called with (stage, steps done, all steps).

    Raises:
        InvalidInput: There is no ready artifact of that name.
        MissingWeights: The model file is nowhere; the message says what to do.
        WrongWeights: What `weights` names, or what was fetched, is another file.
        MissingExtra: A package of `ilk[faces]` is not installed.
    """
    if name not in READY:
        raise InvalidInput(f"expected a ready artifact, {', '.join(READY)}, got {name!r}")
    fetched = None if progress is None else lambda done, of: progress("Fetching", done, of)
    file = model_file("sface", path=weights, may_download=may_download, tell=tell, progress=fetched)

    def build(folder: Path, replaces: bool) -> Path:
        return importing.import_encoder(
            folded(file),
            preprocess=_PREPROCESS,
            distance=Cosine(),
            output=folder,
            detector=_DETECTOR,
            cohort=cohort,
            choice=choice,
            licence=file.licence,
            pretrained_on=_LEARNED_FROM,
            source=file.source,
            title="SFace",
            on_unreadable=on_unreadable,
            overwrite=replaces,
            tell=tell if output is not None or cohort is not None else None,
            progress=progress,
        )

    if output is not None:
        return build(Path(output), overwrite)
    return _cached(cache_folder("artifacts") / _key(file, cohort, choice) / name, build)


def artifact_path(path_or_name: str | Path, *, tell: Callable[[str], None] | None = None) -> Path:
    """Return the folder that is meant: one that is there, or the ready artifact of that name.

    An artifact in a folder `faces` here comes before the ready one; a folder of photographs that
    is called so does not. What is neither is returned as it is, for `Artifact.load` to say what is
    wrong with it.

    Args:
        path_or_name: A folder, or one of `READY`.
        tell: Called with a line about what a person should know.

    Raises:
        IlkError: The ready artifact cannot be made; see `ready_artifact`.
    """
    path = Path(path_or_name)
    is_own = any((path / name).exists() for name in ("manifest.json", "encoder.onnx"))
    if not is_own and str(path_or_name) in READY:
        return ready_artifact(str(path_or_name), tell=tell)
    return path


def _key(file: ModelFile, cohort: Items | None, choice: Choice) -> str:
    """Return a name for a folder that nothing else has: a hash of all that it is made from."""
    made_from: list[Any] = [file.sha256, _PREPROCESS.settings, _DETECTOR, _LEARNED_FROM]
    if cohort is not None:
        made_from += [choice]
        made_from += sorted([class_hash(i.label), i.content_hash()] for i in cohort.items)
    return hashlib.sha256(canonical_json(made_from)).hexdigest()[:32]


def _cached(folder: Path, build: Callable[[Path, bool], Path]) -> Path:
    """Return an artifact of the cache that is whole, making it if need be.

    Of two processes that make it at once, one puts it in place and the other takes that. One that
    is damaged is exchanged in one step, so that nobody meets a gap.
    """
    if folder.is_dir():
        with suppress(ArtifactError):
            return Artifact.load(folder).path
    try:
        return build(folder, folder.is_dir())
    except ArtifactError:
        with suppress(ArtifactError):
            return Artifact.load(folder).path  # somebody else made it meanwhile
    shutil.rmtree(folder, ignore_errors=True)
    return build(folder, False)
