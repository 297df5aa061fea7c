"""Every document of --json is what docs/json.md says: these keys, these types, no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ilk.artifact import ArtifactParts, write_artifact
from ilk.cli.main import ilk

DOCS = Path(__file__).parent.parent / "docs" / "json.md"
PLAIN: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def tables() -> dict[str, dict[str, str]]:
    """Key and type of each section, by its heading."""
    sections: dict[str, dict[str, str]] = {}
    for section in re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.M)[1:]:
        heading = section.splitlines()[0].strip("`").removeprefix("A ").removeprefix("An ")
        rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, flags=re.M)
        sections[heading] = {key: kind.strip() for key, kind in rows}
    return sections


SCHEMAS = tables()


def wrong(value: Any, kind: str, at: str) -> Iterator[str]:
    """Yield what does not fit a documented type."""
    if kind.endswith(" or null"):
        if value is not None:
            yield from wrong(value, kind.removesuffix(" or null"), at)
    elif kind.startswith("array of "):
        for i, entry in enumerate(value):
            yield from wrong(entry, kind.removeprefix("array of "), f"{at}[{i}]")
    elif kind in SCHEMAS:
        yield from wrong_keys(value, SCHEMAS[kind], at)
    elif kind != "any":
        is_bool = isinstance(value, bool)
        if not isinstance(value, PLAIN[kind]) or is_bool != (kind == "boolean"):
            yield f"{at}: expected {kind}, got {value!r}"


def wrong_keys(value: Mapping[str, Any], keys: Mapping[str, str], at: str = "") -> Iterator[str]:
    """Yield what does not fit the documented keys of an object, those below included."""
    here = {key for key in keys if "." not in key}
    if here != set(value):
        yield f"{at}: expected the keys {sorted(here)}, got {sorted(value)}"
        return
    for key in sorted(here):
        yield from wrong(value[key], keys[key], f"{at}.{key}")
        below = {k.split(".", 1)[1]: v for k, v in keys.items() if k.startswith(f"{key}[].")}
        for i, entry in enumerate(value[key] if below else ()):
            yield from wrong_keys(entry, below, f"{at}.{key}[{i}]")
        below = {k.split(".", 1)[1]: v for k, v in keys.items() if k.startswith(f"{key}.")}
        if below and value[key] is not None:
            yield from wrong_keys(value[key], below, f"{at}.{key}")


def told(*arguments: object) -> dict[str, Any]:
    """Run a command with --json and return the document, held against the documents."""
    done = CliRunner().invoke(ilk, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    assert content["schema_version"] == 1
    keys = SCHEMAS[content["schema"]] | {"schema": "string", "schema_version": "integer"}
    assert not list(wrong_keys(content, keys)), content["schema"]
    return content


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def jays(picture_folder: Path) -> Path:
    """The pictures under labels that the artifact's cohort does not have."""
    (picture_folder / "owl").rename(picture_folder / "jay")
    (picture_folder / "wren").rename(picture_folder / "tit")
    return picture_folder


def test_every_document(
    artifact_folder: Path, parts: ArtifactParts, jays: Path, tmp_path: Path
) -> None:
    place = tmp_path / "g"
    other = write_artifact(tmp_path / "other artifact", replace(parts, seed=4))
    seen = [
        told("artifact", "show", artifact_folder),
        told("gallery", "create", place, artifact_folder),
        told("gallery", "info", place),
        told("enroll", place, jays, "--keep-crops", "--metadata", '{"camera": 3}'),
        told("gallery", "calibrate", place, "--target-fpir", 0.3),
        told("gallery", "info", place),
        told("gallery", "list", place),
        told("gallery", "show", place, "jay", "--crops", tmp_path / "crops"),
        told("gallery", "health", place),
        told("identify", place, jays / "jay", tmp_path / "none.png"),
        told("identify", place, jays / "jay", "--set"),
        told("verify", place, "jay", jays, tmp_path / "none.png", "--target-fmr", 0.3),
        told("gallery", "rename", place, "jay", "tawny"),
        told("gallery", "undo", place),
        told("gallery", "history", place),
        told("gallery", "export", place, tmp_path / "one.file", "--with-artifact"),
        told("gallery", "import", tmp_path / "one.file", tmp_path / "other"),
        told("gallery", "migrate", place, other, "--dry-run", "--sources", tmp_path),
        told("gallery", "erase", place, "--expired", "--yes"),
        told("gallery", "erase", place, "tit", "--yes"),
        told("gallery", "allow", place, jays / "tit"),
    ]
    same = told("gallery", "migrate", place, artifact_folder, "--yes")
    assert (same["is_switched"], len(same["notes"])) == (False, 1)
    told("gallery", "migrate", place, other, "--yes")
    seen.append(told("gallery", "rollback", place))
    missing = {name for name in SCHEMAS if re.match(r"ilk\.(?!watch)", name)}
    missing -= {content["schema"] for content in seen}
    assert missing == {
        "ilk.verify_pairs",
        "ilk.unknowns",
        "ilk.unknowns.named",
        "ilk.gallery.change",
    } - {content["schema"] for content in seen}


def test_documents_about_unknown_probes(artifact_folder: Path, jays: Path, tmp_path: Path) -> None:
    place = tmp_path / "g"
    told("gallery", "create", place, artifact_folder, "--target-fpir", 0.3)
    assert not told("unknown", "list", place)["clusters"]
    answers = told("identify", place, jays, "--keep-unknown", "--keep-crops")["answers"]
    assert {answer["decision"] for answer in answers} == {"unknown"}
    ids = [answer["unknown_id"] for answer in answers]
    clusters = told("unknown", "list", place, "--crops", tmp_path / "crops")["clusters"]
    probes = [probe for cluster in clusters for probe in cluster["probes"]]
    assert sorted(probe["id"] for probe in probes) == sorted(ids)
    assert all(Path(probe["crop"]).is_file() for probe in probes)
    named = told("unknown", "name", place, "jay", *ids[:2])["answers"]
    assert [answer["is_enrolled"] for answer in named] == [True, True]
    assert told("unknown", "discard", place, ids[2])["changes"][0]["action"] == "discard"


def test_the_document_of_pairs(artifact_folder: Path, jays: Path, tmp_path: Path) -> None:
    file, table = tmp_path / "pairs.csv", tmp_path / "table.csv"
    jay, tit = (
        [f"{kind}/{p.name}" for p in sorted((jays / kind).iterdir())] for kind in ("jay", "tit")
    )
    lines = [f"{kind[0]},{kind[1]},yes" for kind in (jay, tit)] * 10
    lines += [f"{a},{b},no" for a, b in zip(jay, tit, strict=True)] * 10
    file.write_text("\n".join(["file_x,file_y,Decision", *lines, "gone.png,gone.png,yes"]))
    rows = [
        f"{jays}/{name},{name[:3]},{'day' if i % 2 else 'night'}"
        for i, name in enumerate(jay + tit)
    ]
    table.write_text("\n".join(["path,label,light", *rows]))
    told("verify-pairs", artifact_folder, file, "--root", jays)
    content = told("verify-pairs", artifact_folder, file, "--root", table, "--by", "light")
    assert content["groups"][0]["column"] == "light"
    assert content["missing"] == ["gone.png"]
    assert told("verify-pairs", artifact_folder, file, "--root", jays, "--fmr", 0.2)["figures"]


def test_the_check_sees_what_is_wrong() -> None:
    keys = {"a": "array", "a[].b": "integer", "c": "string or null"}
    assert not list(wrong_keys({"a": [{"b": 1}], "c": None}, keys))
    broken: list[dict[str, Any]] = [
        {"a": [{"b": True}], "c": None},
        {"a": [{}], "c": ""},
        {"a": [], "c": 1},
        {"a": []},
    ]
    for value in broken:
        assert list(wrong_keys(value, keys))
