"""`ilk serve`: for this machine only, until Ctrl-C."""

from __future__ import annotations

import http.client
import threading
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from ilk.cli.main import ilk
from ilk.errors import ForeignGallery, InvalidInput
from ilk.recognizer import Recognizer
from ilk.server import PageServer


@pytest.fixture
def gallery(birds: Path, tmp_path: Path) -> Path:
    """Of whole pictures, empty."""
    Recognizer.create(tmp_path / "my birds", birds).close()
    return tmp_path / "my birds"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was told to open; the page is asked once, then interrupted."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    serve = PageServer.serve_forever

    def once(server: PageServer) -> None:
        thread = threading.Thread(target=serve, args=(server, 0.02))
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        server.shutdown()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", once)
    return addresses


def test_the_page_is_opened_and_closed(gallery: Path, opened: list[str]) -> None:
    done = CliRunner().invoke(ilk, ["serve", str(gallery), "--port", "0"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (address,) = opened
    assert urlsplit(address).hostname == "127.0.0.1"
    assert f"the page is at {address}" in done.output
    assert "the page is closed" in done.output


def test_no_browser_is_opened_unless_wanted(gallery: Path, opened: list[str]) -> None:
    CliRunner().invoke(ilk, ["serve", str(gallery), "--port", "0", "--no-browser"])
    assert opened == []


def test_another_host_is_refused_before_anything_listens(gallery: Path, opened: list[str]) -> None:
    done = CliRunner().invoke(ilk, ["serve", str(gallery), "--host", "0.0.0.0"])
    assert isinstance(done.exception, InvalidInput)
    assert "ssh -L" in str(done.exception)
    assert opened == []


def test_a_gallery_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(ilk, ["serve", str(tmp_path / "none")])
    assert isinstance(done.exception, ForeignGallery)
