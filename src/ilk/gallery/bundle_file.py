"""The file of a bundle: a zip of plain members that are checked before one of them is believed.

    manifest.json      what it is, and size and SHA-256 of every other member
    classes.json       labels
    exemplars.json     rows, without embeddings
    embeddings.npy     (N, D) float32
    strangers.json     groups and content hashes; strangers.npy (n, D) float32
    unknowns.json      kept unknown probes; unknowns.npy (m, D) float32
    closed.json        what was erased: hashes under a key of the gallery, if there is any
    history.json       the log, on request; then all rows are in it, those of the past too
    receipts.json      of erasures, with the log
    crops/0.webp ...   kept crops, by the position of their exemplar
    unseen/0.webp ...  and by that of their unknown probe
    cohort.npz         held-out classes that came without an artifact
    artifact/...       the encoder, on request

Nothing is compressed: embeddings and pictures hardly get smaller, and a file can so never unfold
to more than itself. Nothing in it tells the time, so equal galleries give equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from ilk.errors import DamagedGallery, ForeignGallery, GalleryError, NewerGallery
from ilk.gallery.location import flush_folder
from ilk.whole_file import write_private

__all__ = [
    "COHORT",
    "FORMAT",
    "VERSION",
    "BundleReader",
    "BundleWriter",
    "damaged",
    "open_bundle",
]

COHORT = "cohort.npz"
"""The member for held-out classes that came without an artifact."""

FORMAT = "ilk gallery bundle"
"""What every bundle says it is."""

VERSION = 2
"""Of what this code writes; it reads version 1, too, which had no unknown probes, nothing closed
and a history for people alone."""

_MANIFEST = "manifest.json"
_MEMBER = re.compile(
    r"(classes|exemplars|strangers|unknowns|closed|history|receipts)\.json"
    r"|(embeddings|strangers|unknowns)\.npy|cohort\.npz"
    r"|(crops|unseen)/\d{1,12}\.webp|artifact/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
)
_MOST_MANIFEST_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)


@final
class BundleWriter:
    """Members of a bundle, written one after the other; the manifest comes last."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, dict[str, Any]] = {}

    @staticmethod
    @contextmanager
    def to(path: Path, *, overwrite: bool) -> Iterator[BundleWriter]:
        """Write a file whole or not at all, durably.

        Raises:
            GalleryError: There is a file already, or none can be written.
        """
        if path.is_dir() or (path.exists() and not overwrite):
            raise GalleryError(f"{path} exists already; choose another file, or ask to replace it")
        if not path.parent.is_dir():
            raise GalleryError(
                f"there is no folder {path.parent} to write {path.name} to; make it, or choose one"
            )
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            write_private(partial, b"")  # whom it recognises is for its owner to share
            with partial.open("wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                    yield BundleWriter(archive)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            flush_folder(path.parent)
        except OSError as error:
            raise GalleryError(f"{path} cannot be written ({error}); nothing is there") from error
        finally:
            partial.unlink(missing_ok=True)

    def put(self, name: str, content: bytes) -> None:
        """Add a member."""
        digest = hashlib.sha256(content).hexdigest()
        self._members[name] = {"sha256": digest, "num_bytes": len(content)}
        self._write(name, content)

    def put_json(self, name: str, value: Any) -> None:
        """Add a member of JSON."""
        self.put(name, _to_json(value))

    def put_array(self, name: str, array: np.ndarray) -> None:
        """Add a member of float32 rows."""
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
        self.put(name, file.getvalue())

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Add the manifest."""
        head = {"format": FORMAT, "version": VERSION}
        self._write(_MANIFEST, _to_json(head | dict(facts) | {"members": self._members}))

    def _write(self, name: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(name, _DATE)
        entry.create_system, entry.external_attr = 3, 0o644 << 16
        self._archive.writestr(entry, content)


@final
class BundleReader:
    """A bundle of which every member has the hash that its manifest names."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self._archive = archive

    @property
    def names(self) -> list[str]:
        """Of the members, without the manifest."""
        return list(self.manifest["members"])

    def read(self, name: str) -> bytes:
        """Return the bytes of a member.

        Raises:
            DamagedGallery: It is not there, or not the one that was written.
        """
        facts = self.manifest["members"].get(name)
        if facts is None:
            raise damaged(self.path, f"{name} is missing")
        with _reading(self.path), self._archive.open(name) as file:
            content = file.read(facts["num_bytes"] + 1)
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise damaged(self.path, f"{name} does not have the hash that it was written with")
        return content

    def read_arrays(self, name: str) -> bytes:
        """Return the bytes of a member that is a zip of arrays itself."""
        content = self.read(name)
        with _reading(self.path), zipfile.ZipFile(io.BytesIO(content)) as inner:
            if not _is_plain(inner, len(content)):
                raise damaged(self.path, f"{name} unfolds to more than it holds")
        return content

    def read_json(self, name: str) -> Any:
        """Return the content of a member of JSON."""
        return _from_json(self.path, name, self.read(name))

    def read_array(self, name: str, shape: tuple[int, int]) -> np.ndarray:
        """Return the float32 rows of a member, which must have that shape."""
        file = io.BytesIO(self.read(name))
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            found, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except (ValueError, SyntaxError) as error:
            raise damaged(self.path, f"{name} is no array ({error})") from None
        rest = file.getbuffer()[file.tell() :]
        num_bytes = 4 * shape[0] * shape[1]
        if (found, is_fortran, dtype, len(rest)) != (shape, False, np.dtype("<f4"), num_bytes):
            raise damaged(
                self.path, f"{name} should have float32 rows {shape}, it has {dtype} {found}"
            )
        return np.frombuffer(rest, "<f4").reshape(shape)

    def verify(self) -> None:
        """Check the hash of every member, without holding it in memory.

        Raises:
            DamagedGallery: One is not the one that was written.
        """
        for name, facts in self.manifest["members"].items():
            digest = hashlib.sha256()
            with _reading(self.path), self._archive.open(name) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
            if digest.hexdigest() != facts["sha256"]:
                raise damaged(self.path, f"{name} does not have the hash that it was written with")


@contextmanager
def open_bundle(path: Path) -> Iterator[BundleReader]:
    """Open a bundle for the time of a `with` block, after checking all of it.

    Raises:
        ForeignGallery: The file is not a bundle.
        NewerGallery: It was written by a newer version of ilk.
        DamagedGallery: A member is missing, changed, or should not be there.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise ForeignGallery(f"expected a file that `ilk gallery export` wrote at {path}: {what}")
    with ExitStack() as stack:
        with _reading(path):
            file = stack.enter_context(path.open("rb"))
            if file.read(4) != b"PK\3\4":
                raise ForeignGallery(f"{path} is not a bundle of `ilk gallery export`: no zip file")
            archive = stack.enter_context(zipfile.ZipFile(file))
            entries = {entry.filename: entry for entry in archive.infolist()}
            if _MANIFEST not in entries:
                raise ForeignGallery(f"{path} is not a bundle: it has no {_MANIFEST}")
            _check_entries(path, archive, path.stat().st_size)
            content = archive.read(_MANIFEST)
        reader = BundleReader(archive, path, _manifest(path, content))
        _check_members(path, entries, reader.manifest["members"])
        reader.verify()
        yield reader


def damaged(path: Path, what: str) -> DamagedGallery:
    """Return the error that says what is wrong with a bundle."""
    return DamagedGallery(f"{path} is damaged: {what}; nothing was imported; export it again")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise damaged(path, str(error)) from error


def _check_entries(path: Path, archive: zipfile.ZipFile, num_bytes: int) -> None:
    """Check names and sizes, before anything is read."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = [name for name in names if name != _MANIFEST and not _MEMBER.fullmatch(name)]
    if strange:
        raise damaged(path, f"it has a member {strange[0][:80]!r}, which no bundle has")
    if len(set(names)) != len(names):
        raise damaged(path, "it has two members of one name")
    if not _is_plain(archive, num_bytes):
        raise damaged(path, "its members unfold to more than the file holds")
    if archive.getinfo(_MANIFEST).file_size > _MOST_MANIFEST_BYTES:
        raise damaged(path, "its manifest is too large")


def _is_plain(archive: zipfile.ZipFile, num_bytes: int) -> bool:
    """Return whether nothing in a zip is compressed, and nothing counts twice."""
    entries = archive.infolist()
    return sum(entry.file_size for entry in entries) <= num_bytes and all(
        e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries
    )


def _manifest(path: Path, content: bytes) -> dict[str, Any]:
    found = _from_json(path, _MANIFEST, content)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ForeignGallery(f"{path} is not a bundle of `ilk gallery export`")
    version = found.get("version")
    if type(version) is not int or version < 1 or not isinstance(found.get("members"), dict):
        raise damaged(path, "its manifest is not complete")
    if version > VERSION:
        raise NewerGallery(
            f"{path} has version {version}, this ilk reads up to {VERSION}; upgrade ilk"
        )
    return found


def _check_members(
    path: Path, entries: Mapping[str, zipfile.ZipInfo], members: Mapping[str, Any]
) -> None:
    if odd := sorted((entries.keys() - {_MANIFEST}) ^ members.keys()):
        raise damaged(path, f"{odd[0][:80]} is missing, or is not in its manifest")
    for name, facts in members.items():
        is_whole = isinstance(facts, dict) and isinstance(facts.get("sha256"), str)
        if not is_whole or facts.get("num_bytes") != entries[name].file_size:
            raise damaged(path, f"{name} does not have the size that it was written with")


def _to_json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


def _from_json(path: Path, name: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{name} is not JSON ({error})") from None
