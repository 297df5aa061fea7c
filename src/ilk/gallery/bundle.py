"""Export and import: a gallery as one file that says what it is and is checked when it is read.

A bundle has what is live, kept unknown probes, and as keyed hashes what erasures closed. What it is
imported into gives rows new ids and the time of the import. With its history it has the rows of the
past, too, and an import gives the same ids and times. What was erased is in none.

Shapes: N exemplars, D embedding size.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ilk.artifact import Artifact, Cohort
from ilk.errors import ArtifactError, GalleryError, InvalidInput, NotCalibrated, WrongEncoder
from ilk.gallery.access import Access, actor_name, copying, create_store
from ilk.gallery.binding import Binding
from ilk.gallery.bundle_content import BundleContent, read_closed, read_content
from ilk.gallery.bundle_file import COHORT, BundleReader, BundleWriter, damaged, open_bundle
from ilk.gallery.bundle_past import read_past
from ilk.gallery.bundle_rows import write_closed, write_history, write_rows
from ilk.gallery.forgetting import forget_in_cohorts
from ilk.gallery.importing import bring_in, restored
from ilk.gallery.location import Location
from ilk.gallery.state import State
from ilk.results import Enrollment
from ilk.store import CopyingStore, Past, Writer

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
        with_history: Put the log and the rows of the past in, so that the import can undo.
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
            counts = write_rows(bundle, reader, with_history=with_history)
            write_closed(bundle, *copying(access.store).closed())
            if with_history:
                write_history(bundle, reader)
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
    actor: str | None = None,
) -> list[Enrollment]:
    """Make a new gallery of a bundle; return what became of each exemplar that is live.

    It decides as the exported one did: by the same settings, strangers and rows in the same order.
    Kept unknown probes and what was closed by erasures come along; with its history ids, times and
    all that can be undone, so that it goes on as if it had been copied.

    Args:
        path: Of the bundle.
        location: A folder that is not there yet, or is empty.
        artifact: Of the encoder, if it is not in the bundle; or a `Binding`.
        actor: Who is named in the history; None is the user of this process.

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
            past = read_past(bundle, content)
            settings = content.settings if past is None else None
            store = create_store(generation, binding, settings, actor=actor_name(actor))
            try:
                answers = _fill(copying(store), bundle, content, past, actor_name(actor))
            finally:
                store.close()
            place.use(generation)
            with closing(Access(place, actor_name(actor), "exact")) as access:
                forget_in_cohorts(access)
        except BaseException:
            shutil.rmtree(generation.folder if existed else place.folder, ignore_errors=True)
            raise
    return answers


def enroll_bundle(access: Access, path: str | Path) -> list[Enrollment]:
    """Enroll the exemplars of a bundle in a gallery, in one change; answer for each.

    Content that is there already stays as it is; content that was erased here stays closed.
    Settings, strangers, unknown probes and history of the bundle are not taken over, nor what was
    erased from the gallery that it is of.

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
            return bring_in(writer, read_content(bundle, access.binding).live(), bundle)

        with access.fresh():
            _require_same(bundle, access.binding)
        return access.change("import", work)


def _fill(
    store: CopyingStore,
    bundle: BundleReader,
    content: BundleContent,
    past: Past | None,
    actor: str,
) -> list[Enrollment]:
    """Write a bundle into an empty store."""
    closed = read_closed(bundle)
    if closed is not None:
        store.adopt_closed(*closed)
    if past is not None:
        try:
            store.restore(past)
        except InvalidInput as error:
            raise damaged(bundle.path, str(error)) from error
        return restored(content)
    with store.changing("import", actor=actor) as writer:
        for label in content.labels:
            writer.add_class(label)
        writer.add_strangers([row for _, row in content.strangers])
        writer.add_unknowns([row for _, row in content.unknowns])
        return bring_in(writer, content, bundle)


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
