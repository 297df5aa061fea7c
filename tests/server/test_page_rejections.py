"""Who is not let in, and what is not read."""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from tests.server.conftest import Client, nonce_of, patch, scene

from ilk.server import PageServer
from ilk.server.admission import MAX_BYTES

ASKED = ["gallery", "identify", "enroll", "undo"]


@pytest.fixture(autouse=True)
def nothing_changes(page: Client) -> Iterator[None]:
    yield
    assert page.told("gallery")["num_classes"] == 3


def refusal(told: Any) -> tuple[str, str, str]:
    assert told["schema"] == "ilk.page.error"
    assert "Traceback" not in json.dumps(told)
    return told["code"], told["what"], told["do"]


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "example.org",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:{port}.example.org",
        "0:{port}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_another_host_name_is_refused(page: Client, host: str | None, method: str) -> None:
    sent = host if host is None else host.replace("{port}", str(page.port))
    path = "/api/gallery" if method == "POST" else "/"
    status, _, told = page.ask("", method=method, path=path, headers={"Host": sent})
    assert status == 403
    if method != "HEAD":
        assert refusal(told)[0] == "host"
        assert page.token not in json.dumps(told)


def test_two_host_names_are_refused(page: Client) -> None:
    asked = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nHost: evil\r\n\r\n"
    assert raw(page, asked.encode()).startswith(b"HTTP/1.1 403")


def test_localhost_by_name_is_let_in(page: Client) -> None:
    headers = {
        "Host": f"LocalHost:{page.port}",
        "Origin": f"http://localhost:{page.port}",
    }
    assert page.ask("gallery", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": None, "Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("what", ASKED)
def test_other_sites_are_refused(page: Client, headers: dict[str, str | None], what: str) -> None:
    sent = {k: v and v.replace("{port}", str(page.port)) for k, v in headers.items()}
    status, _, told = page.ask(what, body=scene(patch("ada")), headers=sent)
    assert (status, refusal(told)[0]) == (403, "origin")


@pytest.mark.parametrize("token", [None, "", "x", "{token}x", "ä"])
@pytest.mark.parametrize("what", ASKED)
def test_a_token_of_another_start_is_refused(page: Client, token: str | None, what: str) -> None:
    sent = {"X-Ilk-Token": token and token.replace("{token}", page.token)}
    status, _, told = page.ask(what, body=scene(patch("ada")), headers=sent)
    assert (status, refusal(told)[0]) == (403, "token")
    assert "anew" in told["do"]


def test_tokens_differ_by_start(page: Client, server: PageServer) -> None:
    assert len(page.token) > 40
    other = PageServer(server.answers, 0, "other")
    with other.socket:
        assert other.token != page.token


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Length": str(MAX_BYTES + 1)}, 413, "too_large"),
        ({"Content-Length": "9" * 18}, 413, "too_large"),
        ({"Content-Length": "9" * 19}, 400, "length"),
        ({"Content-Length": "-1"}, 400, "length"),
        ({"Content-Length": "1_0"}, 400, "length"),
        ({"Content-Length": None}, 411, "length"),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, 411, "length"),
        ({"Content-Length": "0"}, 400, "empty"),
    ],
)
def test_the_length_is_checked_before_anything_is_read(
    page: Client, headers: dict[str, str | None], status: int, code: str
) -> None:
    """No body follows here, so a server that tried to read it would wait."""
    found, sent, told = page.ask("identify", headers=headers)
    assert (found, refusal(told)[0]) == (status, code)
    assert sent["Connection"] == "close"


def test_a_picture_that_is_too_large_is_refused_while_it_is_sent(page: Client) -> None:
    status, _, told = page.ask("identify", body=bytes(MAX_BYTES + 1))
    assert status == 413
    assert refusal(told)[2]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose head promises more than is there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"GIF8", "GIF"),
        (b"no picture at all", "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG"),
        (b"/etc/passwd", "not a JPEG"),
        (b"http://example.org/a.png", "not a JPEG"),
        (png_of_size(20_000, 20_000), "pixels"),
        (scene(patch("ada"))[:60], "damaged"),
    ],
)
@pytest.mark.parametrize("what", ["identify", "enroll"])
def test_what_is_no_picture_is_told(page: Client, body: bytes, word: str, what: str) -> None:
    status, _, told = page.ask(what, {"name": "x.png", "label": "tom"}, body)
    assert status == 422
    code, reason, todo = refusal(told)
    assert code == "unreadable"
    assert word in reason
    assert "JPEG" in todo


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/gallery"])
def test_other_methods_are_refused(page: Client, method: str, path: str) -> None:
    status, headers, told = page.ask("", method=method, path=path)
    assert (status, refusal(told)[0]) == (405, "method")
    assert headers["Allow"] == "GET, HEAD, POST"


def test_methods_that_nobody_knows_are_refused(page: Client) -> None:
    status, _, told = page.ask("", method="BREW", path="/")
    assert status == 501
    assert "Traceback" not in json.dumps(told)


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/ui/page.js",
        "/api/gallery",
        "/favicon.ico",
        "/index.html",
        "/.",
        "/\\..\\",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_there_is_nothing_else(page: Client, path: str, method: str) -> None:
    if (method, path) == ("POST", "/api/gallery"):
        pytest.skip("this is a question")
    assert page.ask("", method=method, path=path)[0] == 404


def raw(page: Client, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_request_gets_no_traceback(page: Client, sent: bytes) -> None:
    told = raw(page, sent)
    assert b"Traceback" not in told
    assert b"<html" not in told.lower()
    assert page.ask("gallery")[0] == 200


def test_a_client_that_leaves_is_forgotten(page: Client) -> None:
    head = (
        f"POST /api/identify HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        f"X-Ilk-Token: {page.token}\r\nContent-Length: 1000\r\n\r\nabc"
    )
    assert raw(page, head.encode()) == b""
    assert page.ask("gallery")[0] == 200


def trickle(page: Client, head: bytes, drop: bytes) -> tuple[bytes, float]:
    """Send a head, then a few bytes again and again; return the answer, and when it came."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        start = time.monotonic()
        connection.sendall(head)
        connection.settimeout(0.05)
        answer = b""
        while time.monotonic() < start + 20:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(drop)
            try:
                part = connection.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                part = b""
            if not part:
                return answer, time.monotonic() - start
            answer += part
    pytest.fail("the server waits for ever")


def body_head(page: Client, length: int) -> bytes:
    return (
        f"POST /api/identify HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        f"X-Ilk-Token: {page.token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_a_head_that_trickles_is_not_waited_for(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.server.handler._HEAD_SECONDS", 0.4)
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n".encode()
    for sent, drop in ((head, b"a: b\r\n"), (b"", b"G"), (b"", b"\r\n")):
        assert trickle(page, sent, drop)[0].count(b"200 OK") == 0
    assert page.ask("", method="GET", path="/")[0] == 200


def test_a_body_that_trickles_is_refused_and_keeps_nobody_waiting(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilk.server.handler._BODY_SECONDS", 0.4)
    assert b"408" in trickle(page, body_head(page, 5000), b"x")[0].splitlines()[0]
    monkeypatch.setattr("ilk.server.handler._BODY_SECONDS", 15.0)
    with ExitStack() as held:
        for _ in range(8):  # more than pictures are looked at together
            slow = socket.create_connection(("127.0.0.1", page.port), timeout=10)
            held.enter_context(slow).sendall(body_head(page, 1000) + b"x")
        monkeypatch.setattr("ilk.server.answers._PATIENCE_SECONDS", 0.2)
        assert page.told("gallery")["num_classes"] > 0


def test_what_nobody_expected_is_told_without_its_traceback(
    page: Client,
    server: PageServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("a secret of the inside")

    with caplog.at_level(logging.ERROR), monkeypatch.context() as patched:
        patched.setattr(type(server.answers), "gallery", fail)
        status, _, told = page.ask("gallery")
    assert (status, refusal(told)[0]) == (500, "internal")
    assert "secret" not in json.dumps(told)
    assert "a secret of the inside" in caplog.text


def test_the_page_brings_all_that_it_needs(page: Client) -> None:
    status, headers, text = page.ask("", method="GET", path="/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    assert "%%" not in text
    assert page.token in text
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == f"'nonce-{nonce_of(text)}'"
    assert nonce_of(page.ask("", method="GET", path="/")[2]) != nonce_of(text)
    assert not re.search(r"<[^>]+ on[a-z]+=|<[^>]+ style=", text)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("HEAD", "/"), ("POST", "/api/gallery")]
)
def test_nothing_is_kept_or_guessed_by_a_browser(page: Client, method: str, path: str) -> None:
    status, headers, _ = page.ask("", method=method, path=path)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_too_many_connections_are_let_go(page: Client) -> None:
    with ExitStack() as held:
        for _ in range(80):
            last = socket.create_connection(("127.0.0.1", page.port), timeout=10)
            held.enter_context(last)
        assert last.recv(1) == b""
    for _ in range(100):  # until the server has seen them leave
        with suppress(ConnectionError):
            page.told("gallery")
            return
        time.sleep(0.05)
    pytest.fail("connections that were left are still counted")


def test_a_thread_that_cannot_be_started_takes_no_place(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(80):
            with socket.create_connection(("127.0.0.1", page.port), timeout=10) as left:
                assert left.recv(1) == b""
    page.told("gallery")
