"""Bundles: what comes out of one decides as what went in; what is no bundle does no harm."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.artifact import Artifact, ArtifactParts, Cohort, class_hash, write_artifact
from ilk.distances import Cosine, Distance, Euclidean, Hyperbolic
from ilk.errors import (
    DamagedGallery,
    ForeignGallery,
    GalleryError,
    IlkError,
    NewerGallery,
    NotCalibrated,
    WrongEncoder,
)
from ilk.gallery import Binding, Gallery
from ilk.gallery.bundle_file import BundleWriter

MakeGallery = Callable[..., Gallery]
DISTANCES: dict[str, Distance] = {
    "cosine": Cosine(),
    "euclidean": Euclidean(),
    "hyperbolic": Hyperbolic(),
}


def fill(gallery: Gallery, *, seed: int = 0, num_classes: int = 12) -> np.ndarray:
    """Enroll, change and calibrate; return probes."""
    generator = np.random.default_rng(seed)
    size = gallery.binding.embedding_size
    middles = generator.normal(size=(num_classes, size))
    labels = [f"class {i % num_classes}" for i in range(4 * num_classes)]
    rows = middles[[i % num_classes for i in range(len(labels))]]
    rows = rows + 0.2 * generator.normal(size=rows.shape)
    gallery.enroll(
        labels,
        rows,
        names=[f"{label}/{i}.png" for i, label in enumerate(labels)],
        metadata=[{"number": i, "nested": [None, "ü"]} for i in range(len(labels))],
        crops=[b"picture %d" % i if i % 3 == 0 else None for i in range(len(labels))],
    )
    gallery.enroll("class 1", rows[1:2] + 0.1, role="not")
    gallery.enroll("", rows[2:3] + 0.1, role="ignore")
    gallery.remove("class 3")
    gallery.rename("class 0", "zero")
    gallery.merge("class 4", "class 5")
    return middles.repeat(8, 0) + 0.4 * generator.normal(size=(8 * num_classes, size))


def told(gallery: Gallery, probes: np.ndarray) -> list[Any]:
    """Return answers without the ids of exemplars, which a new gallery gives anew."""
    return [
        (
            a.decision,
            a.label,
            re.sub(r"exemplar \d+", "exemplar", a.reason),
            a.p_value,
            [(c.label, c.distance) for c in a.candidates],
        )
        for a in gallery.identify(probes)
    ]


def content_of(gallery: Gallery) -> list[Any]:
    with gallery.access.reading() as reader:
        labels = {row.id: row.label for row in reader.classes()}
        rows = reader.exemplars()
        embeddings = reader.embeddings([row.id for row in rows])
        return [
            (
                (labels.get(row.class_id or 0), row.role, row.name, row.content_hash),
                (row.metadata, row.expires, reader.crop(row.id), embedding.tobytes()),
            )
            for row, embedding in zip(rows, embeddings, strict=True)
        ]


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(sorted(DISTANCES)),
    st.sampled_from(["every", "mean", "medoids:2"]),
    st.sampled_from(["leave-one-out", "strangers", "cohort"]),
    st.integers(0, 1000),
)
def test_an_import_decides_as_the_exported_gallery(
    distance: str, templates: str, basis: Any, seed: int
) -> None:
    generator = np.random.default_rng([9, seed])
    far = 2 * generator.normal(size=(40, 4)).astype(np.float32)
    cohort = Cohort(far, np.arange(40) // 2, tuple(class_hash(f"cohort {i}") for i in range(20)))
    bound = Binding(
        distance=DISTANCES[distance], embedding_size=4, encoder_fingerprint="f", cohort=cohort
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "b.ilk")
        with Gallery.create(Path(folder, "a"), bound, templates=templates, margin=0.1) as first:
            probes = fill(first, seed=seed)
            strangers = far if basis == "strangers" else None
            first.calibrate(0.2, basis=basis, strangers=strangers)
            first.export(file)
            with Gallery.import_(file, Path(folder, "b")) as second:
                assert second.threshold == first.threshold
                assert second.settings == first.settings
                assert told(second, probes) == told(first, probes)
                assert content_of(second) == content_of(first)
                assert [(c.label, c.num_exemplars) for c in second.labels()] == [
                    (c.label, c.num_exemplars) for c in first.labels()
                ]
                assert second.access.store.check() == []
                second.export(Path(folder, "c.ilk"))
                second.undo()
                assert second.labels() == []
        again = json.loads(zipfile.ZipFile(Path(folder, "c.ilk")).read("manifest.json"))
        once = json.loads(zipfile.ZipFile(file).read("manifest.json"))
        for name, facts in once["members"].items():
            assert name == "exemplars.json" or again["members"][name] == facts


def test_equal_content_gives_equal_bytes_and_says_what_it_is(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    gallery = make_gallery(size=3)
    fill(gallery)
    for name in ("one", "two"):
        gallery.export(tmp_path / name, with_history=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        history = json.loads(archive.read("history.json"))
    assert manifest["contract"] == gallery.binding.facts
    assert manifest["counts"] == {
        "classes": 10,
        "exemplars": 46,
        "strangers": 99,
        "unknowns": 0,
        "crops": 12,
    }
    assert manifest["threshold"]["value"] == gallery.threshold.value
    assert [row["action"] for row in history] == [row.action for row in gallery.history()]
    assert manifest["artifact"] is None


def test_a_file_that_is_there_is_kept_unless_asked(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    gallery = make_gallery()
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(GalleryError, match="exists already"):
        gallery.export(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"
    gallery.export(tmp_path / "b", overwrite=True)
    assert (tmp_path / "b").read_bytes().startswith(b"PK")
    with pytest.raises(GalleryError, match=r"there is no folder .*to write b to; make it"):
        gallery.export(tmp_path / "no folder" / "b")
    with pytest.raises(GalleryError, match="has no artifact to include"):
        gallery.export(tmp_path / "c", with_artifact=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "g"]


def test_what_was_removed_or_erased_is_not_in_it(make_gallery: MakeGallery, tmp_path: Path) -> None:
    gallery = make_gallery(size=3)
    fill(gallery)
    gallery.enroll("a secret", np.array([[5.0, 6.0, 7.0]]))
    gallery.erase("a secret")
    gallery.export(tmp_path / "b", with_history=True)
    content = (tmp_path / "b").read_bytes()
    assert b"class 6" in content
    assert b"a secret" not in content
    assert np.array([5.0, 6.0, 7.0], "<f4").tobytes() not in content
    gallery.export(tmp_path / "c")
    assert b"class 3" not in (tmp_path / "c").read_bytes()


def test_a_bundle_adds_what_is_new_and_says_why_not(
    make_gallery: MakeGallery, tmp_path: Path
) -> None:
    first, second = make_gallery("a"), make_gallery("b")
    first.enroll(["owl", "owl", "wren"], np.array([[0, 0], [0, 2], [30, 0.0]]), expires=None)
    first.enroll("gull", np.array([[60.0, 0.0]]), content_hashes=["bad"])
    first.enroll("owl", np.array([[1.0, 1.0]]), role="not")
    first.export(tmp_path / "b.ilk")
    second.enroll("eagle owl", np.array([[0.0, 2.0]]))
    second.enroll("x", np.array([[7.0, 7.0]]), content_hashes=["bad"])
    second.erase("x")
    strangers, sequence = second.threshold.num_trials, second.history()[-1].id
    answers = second.enroll_bundle(tmp_path / "b.ilk")
    assert [(a.label, a.is_enrolled) for a in answers] == [
        ("owl", True),
        ("owl", False),
        ("wren", True),
        ("gull", False),
        ("owl", True),
    ]
    assert "already, as 'eagle owl'" in answers[1].reason
    assert "erased" in answers[3].reason
    assert [(c.label, c.num_exemplars) for c in second.labels()] == [
        ("eagle owl", 1),
        ("owl", 1),
        ("wren", 1),
    ]
    assert second.threshold.num_trials == strangers
    assert [row.action for row in second.history() if row.id > sequence] == ["import"]
    assert not any(a.is_enrolled for a in second.enroll_bundle(tmp_path / "b.ilk"))
    assert second.history()[-1].id == sequence + 1
    second.undo()
    assert [row.label for row in second.labels()] == ["eagle owl"]


def test_another_encoder_or_distance_is_refused(make_gallery: MakeGallery, tmp_path: Path) -> None:
    first = make_gallery("a")
    fill(first)
    first.export(tmp_path / "b.ilk")
    other = make_gallery("b", distance=Cosine())
    with pytest.raises(WrongEncoder, match=r"made with distance .*euclidean.*here it is .*cosine"):
        other.enroll_bundle(tmp_path / "b.ilk")
    strange = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="other")
    with pytest.raises(WrongEncoder, match="made with encoder fingerprint grid, here it is other"):
        Gallery.import_(tmp_path / "b.ilk", tmp_path / "new", strange)
    assert not (tmp_path / "new").exists()
    with pytest.raises(GalleryError, match="found a gallery"):
        Gallery.import_(tmp_path / "b.ilk", tmp_path / "a")
    assert first.labels()


def test_the_artifact_travels_along_on_request(tmp_path: Path, parts: ArtifactParts) -> None:
    artifact = Artifact.load(write_artifact(tmp_path / "artifact", parts))
    with Gallery.create(tmp_path / "a", artifact) as gallery:
        fill(gallery)
        gallery.export(tmp_path / "without")
        gallery.export(tmp_path / "with", with_artifact=True)
        gallery.calibrate(0.4)
        threshold = gallery.threshold
        gallery.export(tmp_path / "with", with_artifact=True, overwrite=True)
    with pytest.raises(
        GalleryError, match=r"encoder artifact that is not in it.*give the artifact"
    ):
        Gallery.import_(tmp_path / "without", tmp_path / "b")
    with Gallery.import_(tmp_path / "without", tmp_path / "b", tmp_path / "artifact") as second:
        assert second.binding.artifact is not None
        with pytest.raises(NotCalibrated):
            _ = second.threshold
    with Gallery.import_(tmp_path / "with", tmp_path / "c") as third:
        assert third.binding.fingerprint == artifact.fingerprint
        assert third.threshold == threshold


def rewrite(
    path: Path,
    edit: Callable[[dict[str, bytes]], object] = lambda members: None,
    *,
    seal: bool = True,
    **facts: Any,
) -> Path:
    """Write a bundle with other members; with right hashes, if sealed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    edit(members)
    target = path.with_name("changed")
    if seal:
        with BundleWriter.to(target, overwrite=True) as writer:
            for name, content in members.items():
                writer.put(name, content)
            writer.finish({**manifest, **facts})
        if facts.keys() & {"version", "format"}:
            with zipfile.ZipFile(target) as archive:
                told = json.loads(archive.read("manifest.json")) | facts
            members["manifest.json"] = json.dumps(told).encode()
            plain(target, members)
    else:
        members["manifest.json"] = json.dumps(manifest).encode()
        plain(target, members)
    return target


def plain(target: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(target, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def in_json(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        found = json.loads(members[name])
        changed = change(found)
        members[name] = json.dumps(found if changed is None else changed).encode()

    return edit


def as_array(name: str, array: np.ndarray, *, pickled: bool = False) -> Any:
    def edit(members: dict[str, bytes]) -> None:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=pickled)
        members[name] = file.getvalue()

    return edit


def liar(members: dict[str, bytes]) -> None:
    """An array that claims to be far larger than it is."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 2)}
    np.lib.format.write_array_header_1_0(file, header)
    members["embeddings.npy"] = file.getvalue()


HARM: dict[str, Any] = {
    "a label twice": in_json("classes.json", lambda c: [c[0]] * len(c)),
    "a label that is none": in_json("classes.json", lambda c: ["\0", *c[1:]]),
    "no list": in_json("classes.json", lambda c: {"a": 1}),
    "a class that is not there": in_json("exemplars.json", lambda r: r[0].update({"class": 99})),
    "a class before the first": in_json("exemplars.json", lambda r: r[0].update({"class": -1})),
    "true for a class": in_json("exemplars.json", lambda r: r[0].update({"class": True})),
    "a role that is none": in_json("exemplars.json", lambda r: r[0].update(role="boss")),
    "metadata that is none": in_json("exemplars.json", lambda r: r[0].update(metadata=[1])),
    "a date that is none": in_json("exemplars.json", lambda r: r[0].update(expires="soon")),
    "a name of half a pair": in_json("exemplars.json", lambda r: r[0].update(name="\ud800")),
    "a field missing": in_json("exemplars.json", lambda r: r[0].pop("role") and None),
    "a row that is none": in_json("exemplars.json", lambda r: ["row"] * len(r)),
    "a row too few": in_json("exemplars.json", lambda r: r[1:]),
    "a crop that is missing": in_json("exemplars.json", lambda r: r[-1].update(has_crop=True)),
    "a crop too many": lambda m: m.update({"crops/45.webp": b"x"}),
    "deep nesting": lambda m: m.update({"classes.json": b"[" * 200_000}),
    "a stranger that is none": in_json("strangers.json", lambda s: [7] * len(s)),
    "other shapes": as_array("embeddings.npy", np.zeros((3, 2), np.float32)),
    "another type": as_array("embeddings.npy", np.zeros((46, 2))),
    "no numbers": as_array("embeddings.npy", np.full((46, 2), np.nan, np.float32)),
    "a pickle": as_array("embeddings.npy", np.array([{}] * 46), pickled=True),
    "a lie about the size": liar,
    "no array": lambda m: m.update({"strangers.npy": b"nothing"}),
    "a cohort that is none": lambda m: m.update({"cohort.npz": b"PK nothing"}),
    "a member that no bundle has": lambda m: m.update({"run.py": b"x"}),
    "a way up": lambda m: m.update({"../../escaped.webp": b"x"}),
    "a way up in a folder": lambda m: m.update({"crops/../../escaped.webp": b"x"}),
    "a way from the root": lambda m: m.update({"/tmp/escaped.webp": b"x"}),
    "a way of Windows": lambda m: m.update({"artifact\\..\\escaped": b"x"}),
    "a hidden file": lambda m: m.update({"artifact/.hidden": b"x"}),
    "an artifact that is none": lambda m: m.update({"artifact/manifest.json": b"{}"}),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a gallery "g", its bundle, and an empty gallery "into"."""
    folder = tmp_path_factory.mktemp("bundles")
    bound = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    Gallery.create(folder / "into", bound).close()
    with Gallery.create(folder / "g", bound) as gallery:
        gallery.calibrate(0.01, strangers=np.arange(100.0, 199.0)[:, None] * [1, 0])
        fill(gallery)
        gallery.export(folder / "bundle")
    return folder


@pytest.fixture
def bundle(filled: Path, tmp_path: Path) -> Path:
    shutil.copy(filled / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("harm", HARM)
def test_values_that_no_gallery_has_are_refused(
    bundle: Path, tmp_path: Path, filled: Path, harm: str
) -> None:
    changed = rewrite(bundle, HARM[harm])
    with pytest.raises(DamagedGallery, match=r"is damaged: .*; nothing was imported"):
        Gallery.import_(changed, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "changed"]
    if harm not in ("a cohort that is none", "an artifact that is none"):
        with Gallery.open(filled / "into", searcher="exact") as into:
            with pytest.raises(DamagedGallery):
                into.enroll_bundle(changed)
            assert into.labels() == []


def test_the_same_rewritten_is_fine(bundle: Path, tmp_path: Path) -> None:
    """What the others refuse is refused for what was changed, not for being rewritten."""
    with closing(Gallery.import_(rewrite(bundle), tmp_path / "new")) as gallery:
        assert len(gallery.labels()) == 10


@pytest.mark.parametrize(
    ("facts", "error", "message"),
    [
        ({"version": 3}, NewerGallery, "version 3, this ilk reads up to 2"),
        ({"version": "1"}, DamagedGallery, "manifest is not complete"),
        ({"format": "another"}, ForeignGallery, "not a bundle"),
        ({"contract": {}}, WrongEncoder, "made with distance None"),
        ({"contract": {"distance": {"name": "x"}}}, WrongEncoder, "made with distance .*'x'"),
        ({"settings": {"margin": -1}}, DamagedGallery, "margin must be"),
        ({"settings": 7}, DamagedGallery, "settings"),
    ],
)
def test_other_manifests(
    bundle: Path, tmp_path: Path, facts: Any, error: type[IlkError], message: str
) -> None:
    bound = Binding(distance=Euclidean(), embedding_size=2, encoder_fingerprint="grid")
    with pytest.raises(error, match=message):
        Gallery.import_(rewrite(bundle, **facts), tmp_path / "new", bound)
    assert not (tmp_path / "new").exists()


def test_what_is_no_bundle(bundle: Path, tmp_path: Path) -> None:
    def refused(error: type[IlkError], match: str, path: Path = tmp_path / "x") -> None:
        with pytest.raises(error, match=match):
            Gallery.import_(path, tmp_path / "new")
        assert not (tmp_path / "new").exists()

    refused(ForeignGallery, "nothing")
    refused(ForeignGallery, "a folder", tmp_path)
    (tmp_path / "x").write_bytes(b"")
    refused(ForeignGallery, "no zip")
    plain(tmp_path / "x", {"holiday.jpg": b"x"})
    refused(ForeignGallery, r"has no manifest\.json")
    plain(tmp_path / "x", {"manifest.json": b"[]"})
    refused(ForeignGallery, "not a bundle")
    plain(tmp_path / "x", {"manifest.json": b"{nonsense"})
    refused(DamagedGallery, "not JSON")


def test_bytes_that_changed_are_noticed_wherever_they_are(
    bundle: Path, tmp_path: Path, filled: Path
) -> None:
    content = bundle.read_bytes()
    generator = np.random.default_rng(0)
    places = generator.integers(0, len(content), 80).tolist()
    for place in places:
        broken = bytearray(content)
        broken[place] ^= 1 << int(generator.integers(8))
        (tmp_path / "x").write_bytes(broken)
        try:
            Gallery.import_(tmp_path / "x", tmp_path / "new").close()
        except (ForeignGallery, DamagedGallery):
            assert not (tmp_path / "new").exists()
            continue
        # a bit that means nothing, such as a date in a header of the zip
        (tmp_path / "new").rename(tmp_path / f"fine {place}")
        with (
            Gallery.open(tmp_path / f"fine {place}") as same,
            Gallery.open(filled / "g") as first,
        ):
            assert content_of(same) == content_of(first)
    for length in (3, 4, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "x").write_bytes(content[:length])
        with pytest.raises((ForeignGallery, DamagedGallery)):
            Gallery.import_(tmp_path / "x", tmp_path / "new")


@pytest.mark.parametrize("name", ["history.json", "crops/0.webp", "embeddings.npy"])
def test_hashes_are_checked_of_what_is_not_read_too(
    filled: Path, tmp_path: Path, name: str
) -> None:
    with Gallery.open(filled / "g", searcher="exact") as gallery:
        gallery.export(tmp_path / "bundle", with_history=True)

    def edit(members: dict[str, bytes]) -> None:
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    with pytest.raises(DamagedGallery, match=f"{name} does not have the hash"):
        Gallery.import_(rewrite(tmp_path / "bundle", edit, seal=False), tmp_path / "new")


def test_a_file_cannot_unfold_to_more_than_itself(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    plain(tmp_path / "x", members | {"history.json": b" " * 10_000_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedGallery, match="unfold to more"):
        Gallery.import_(tmp_path / "x", tmp_path / "new")
    file = io.BytesIO()
    np.savez_compressed(file, class_hashes=np.zeros(10_000_000, np.uint8))
    changed = rewrite(bundle, lambda m: m.update({"cohort.npz": file.getvalue()}))
    with pytest.raises(DamagedGallery, match=r"cohort\.npz unfolds to more"):
        Gallery.import_(changed, tmp_path / "new")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("classes.json", b"[]")
    with pytest.raises(DamagedGallery, match="two members of one name"):
        Gallery.import_(bundle, tmp_path / "new")
