"""Export and import: a gallery as one file that says what it is and is checked when it is read.

A bundle has what is live: erased and removed rows are not in it, nor kept unknown probes, nor the
list of closed content. What it is imported into gives rows new ids and the time of the import.

Shapes: N exemplars, D embedding size.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ilk.artifact import Artifact, Cohort
from ilk.errors import ArtifactError, GalleryError, InvalidInput, NotCalibrated, WrongEncoder
from ilk.gallery.access import Access, create_store
from ilk.gallery.binding import Binding
from ilk.gallery.bundle_content import read_content
from ilk.gallery.bundle_file import COHORT, BundleReader, BundleWriter, damaged, open_bundle
from ilk.gallery.importing import bring_in
from ilk.gallery.location import Location
from ilk.gallery.state import State
from ilk.results import Enrollment
from ilk.store import Reader, Writer

__all__ = ["enroll_bundle", "export", "import_bundle"]


def export(
    access: Access,
    path: str | Path,
    *,
    with_artifact: bool = False,
    with_history: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a gallery to one file, whole or not at all.

    Args:
        access: Of the gallery.
        path: Of the file.
        with_artifact: Put the encoder in, so that the file is all that a recognizer needs.
        with_history: Put the log in, for people: with the labels of classes that were removed.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        GalleryError: The file cannot be written, or the gallery has no artifact to put in.
    """
    with access.fresh() as state, access.store.reading() as reader:
        artifact = state.binding.artifact
        if with_artifact and artifact is None:
            raise GalleryError(
                "the gallery holds embeddings from elsewhere and has no artifact to include; "
                "export it without"
            )
        with BundleWriter.to(Path(path), overwrite=overwrite) as bundle:
            counts = _write_rows(bundle, reader)
            if with_history:
                bundle.put_json("history.json", [asdict(row) for row in reader.changes()])
            if artifact is None and state.binding.cohort is not None:
                bundle.put(COHORT, state.binding.cohort.to_bytes())
            if artifact is not None and with_artifact:
                for name in sorted(artifact.manifest.files):
                    bundle.put(f"artifact/{name}", artifact.read(name))
                bundle.put("artifact/manifest.json", artifact.manifest.to_bytes())
            bundle.finish(
                {
                    "contract": state.binding.facts,
                    "artifact": artifact.fingerprint if artifact is not None else None,
                    "settings": state.settings.as_dict(),
                    "threshold": _threshold(state),
                    "counts": counts,
                }
            )


def import_bundle(
    path: str | Path,
    location: str | Path,
    artifact: Artifact | Binding | str | Path | None = None,
    *,
    actor: str = "",
) -> list[Enrollment]:
    """Make a new gallery of a bundle; return what became of each exemplar.

    It decides as the exported one did: by the same settings, strangers and rows in the same order.

    Args:
        path: Of the bundle.
        location: A folder that is not there yet, or is empty.
        artifact: Of the encoder, if it is not in the bundle; or a `Binding`.
        actor: Who is named in the history.

    Raises:
        WrongEncoder: The artifact is not the one that the bundle was made with.
        ForeignGallery: The file is no bundle.
        NewerGallery: It was written by a newer version of ilk.
        DamagedGallery: It is not what was written.
        GalleryError: Something is at the location, or the bundle needs an artifact.
    """
    place = Location(location)
    with open_bundle(Path(path)) as bundle, _binding_of(bundle, artifact) as binding:
        content = read_content(bundle, binding)
        existed = place.folder.exists()
        generation = place.prepare()
        try:
            store = create_store(generation, binding, content.settings, actor=actor)
            try:
                with store.changing("import", actor=actor) as writer:
                    for label in content.labels:
                        writer.add_class(label)
                    writer.add_strangers(content.strangers)
                    answers = bring_in(writer, content, bundle)
            finally:
                store.close()
            place.use(generation)
        except BaseException:
            shutil.rmtree(generation.folder if existed else place.folder, ignore_errors=True)
            raise
    return answers


def enroll_bundle(access: Access, path: str | Path) -> list[Enrollment]:
    """Enroll the exemplars of a bundle in a gallery, in one change; answer for each.

    Content that is there already stays as it is; content that was erased stays closed. Settings
    and strangers of the bundle are not taken over.

    Raises:
        WrongEncoder: The bundle was made with another encoder or distance.
        ForeignGallery: The file is no bundle.
        NewerGallery: It was written by a newer version of ilk.
        DamagedGallery: It is not what was written.
    """
    with open_bundle(Path(path)) as bundle:

        def work(writer: Writer) -> list[Enrollment]:
            # again, as the gallery may just have been migrated
            _require_same(bundle, access.binding)
            return bring_in(writer, read_content(bundle, access.binding), bundle)

        with access.fresh():
            _require_same(bundle, access.binding)
        return access.change("import", work)


@contextmanager
def _binding_of(
    bundle: BundleReader, artifact: Artifact | Binding | str | Path | None
) -> Iterator[Binding]:
    """Give what a new gallery is bound to: what the caller gave, or what the bundle holds."""
    names = [name for name in bundle.names if name.startswith("artifact/")]
    if artifact is not None or not names:
        binding = Binding.of(artifact) if artifact is not None else _without_artifact(bundle)
        _require_same(bundle, binding)
        yield binding
        return
    with tempfile.TemporaryDirectory(prefix="ilk-") as folder:
        for name in names:
            read = bundle.read_arrays if name.endswith(".npz") else bundle.read
            Path(folder, name.removeprefix("artifact/")).write_bytes(read(name))
        try:
            binding = Binding.of(folder)
        except ArtifactError as error:
            raise damaged(bundle.path, f"the artifact in it cannot be loaded: {error}") from error
        _require_same(bundle, binding)
        yield binding


def _without_artifact(bundle: BundleReader) -> Binding:
    if bundle.manifest.get("artifact") is not None:
        raise GalleryError(
            f"{bundle.path} was made with an encoder artifact that is not in it (fingerprint "
            f"{str(bundle.manifest['artifact'])[:12]}...); give the artifact, or export again "
            "with it"
        )
    try:
        cohort = Cohort.from_bytes(bundle.read_arrays(COHORT)) if COHORT in bundle.names else None
        return Binding.from_facts(bundle.manifest["contract"], None, cohort)
    except (InvalidInput, KeyError, TypeError, AttributeError) as error:
        raise damaged(bundle.path, f"its model contract cannot be read ({error})") from error


def _require_same(bundle: BundleReader, binding: Binding) -> None:
    """Refuse a bundle of another encoder.

    Raises:
        WrongEncoder: Encoder, embedding size or distance differ.
    """
    contract = bundle.manifest.get("contract")
    contract = contract if isinstance(contract, dict) else {}
    for key, mine in binding.facts.items():
        if contract.get(key) != mine:
            raise WrongEncoder(
                f"{bundle.path} was made with {key.replace('_', ' ')} {contract.get(key)}, here it "
                f"is {mine}; their embeddings cannot be compared: use the artifact that the bundle "
                "was made with, or enroll its pictures anew"
            )


def _threshold(state: State) -> dict[str, Any] | None:
    try:
        return asdict(state.threshold)
    except NotCalibrated:
        return None


def _write_rows(bundle: BundleWriter, reader: Reader) -> dict[str, int]:
    """Write classes, exemplars, crops and strangers; return how many there are.

    Rows whose embedding is damaged are left out, and named by whoever opened the gallery.
    """
    classes, damaged = sorted(reader.classes(), key=lambda row: row.id), set(reader.damaged())
    rows = [row for row in reader.exemplars() if row.id not in damaged]
    position = {row.id: at for at, row in enumerate(classes)}
    told = [
        {
            "class": position[row.class_id] if row.class_id is not None else None,
            "role": row.role,
            "name": row.name,
            "content_hash": row.content_hash,
            "time": row.time,
            "metadata": dict(row.metadata),
            "expires": row.expires,
            "has_crop": row.has_crop,
        }
        for row in rows
    ]
    bundle.put_json("classes.json", [row.label for row in classes])
    bundle.put_json("exemplars.json", told)
    bundle.put_array("embeddings.npy", reader.embeddings([row.id for row in rows]))
    strangers = reader.strangers()
    pairs = zip(strangers.groups, strangers.content_hashes, strict=True)
    bundle.put_json("strangers.json", [{"group": g, "content_hash": c} for g, c in pairs])
    bundle.put_array("strangers.npy", strangers.embeddings)
    num_crops = 0
    for at, row in enumerate(rows):
        crop = reader.crop(row.id) if row.has_crop else None
        if crop is not None:
            bundle.put(f"crops/{at}.webp", crop)
            num_crops += 1
    return {
        "classes": len(classes),
        "exemplars": len(rows),
        "strangers": len(strangers.ids),
        "crops": num_crops,
    }
