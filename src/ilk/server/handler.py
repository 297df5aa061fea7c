"""One connection: check, read, answer. What goes wrong is told as JSON, never as a traceback."""

from __future__ import annotations

import io
import json
import logging
import math
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, final
from urllib.parse import parse_qs, urlsplit

from ilk.documents import document
from ilk.errors import (
    GalleryError,
    IlkError,
    InvalidInput,
    NotCalibrated,
    UnreadableItem,
)
from ilk.images import Box
from ilk.server.admission import Refusal, check_asker, check_host, check_token, content_length
from ilk.server.page import page_headers, render_page
from ilk.server.timed_reader import TimedReader

if TYPE_CHECKING:
    from ilk.server.serving import PageServer

__all__ = ["Handler"]

_LOG = logging.getLogger(__name__)
_HEAD_SECONDS = 30.0
"""How long a connection may be idle and a head may take together, however it trickles."""
_BODY_SECONDS, _SLOWEST_BYTES = 15.0, 500_000
"""How long a body may take, and how many bytes of it per second more."""
_LINGER_BYTES, _LINGER_SECONDS = 64 * 1024 * 1024, 2.0
"""What is read and thrown away, so that a client that is still sending sees why it is refused."""
_LONGEST_NAME = 300

_ERRORS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (UnreadableItem, 422, "unreadable", "Choose another picture, such as a JPEG."),
    (InvalidInput, 400, "invalid", ""),
    (NotCalibrated, 409, "not_calibrated", "Calibrate it: `ilk gallery calibrate`."),
    (GalleryError, 409, "gallery", ""),
    (IlkError, 500, "ilk", ""),
    (MemoryError, 503, "memory", "Send a smaller copy of the picture."),
)


@final
class Handler(BaseHTTPRequestHandler):
    """Answers `GET /` with the page and `POST /api/...` with documents."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ilk", ""
    timeout = _HEAD_SECONDS
    error_content_type = "application/json"

    def setup(self) -> None:
        """Read through what keeps the time."""
        super().setup()
        self.rfile.close()
        self._timed = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._timed)

    def handle_one_request(self) -> None:
        """Take in a head, which must come in time, and answer."""
        self._timed.allow(_HEAD_SECONDS)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Send the page."""
        self._answer(self._send_page)

    def do_HEAD(self) -> None:
        """Send the head of the page."""
        self._answer(self._send_page)

    def do_POST(self) -> None:
        """Answer a question of the page."""
        self._answer(self._send_answer)

    def do_other(self) -> None:
        """Refuse methods that change or tell nothing here."""
        self._answer(self._refuse_method)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_other

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Tell as JSON what the base class cannot read."""
        self.close_connection = True
        with suppress(ValueError):
            message = message or HTTPStatus(code).phrase
        if not hasattr(self, "headers"):
            self.request_version = "HTTP/1.1"
        self._send_refusal(Refusal(code, "request", message or "the request cannot be read"))

    def handle_expect_100(self) -> bool:
        """Ask for the body only when it is known that it may come."""
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log of who was looked at."""

    def _answer(self, work: Any) -> None:
        """Do `work` for who may ask, and tell what went wrong."""
        try:
            check_host(self.headers, self.server.port)
            work()
        except Refusal as refusal:
            self._send_refusal(refusal)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self._send_refusal(_told(error))

    def _refuse_method(self) -> None:
        what = f"{self.command} is not answered here"
        raise Refusal(405, "method", what)

    def _send_page(self) -> None:
        if urlsplit(self.path).path != "/":
            raise Refusal(404, "path", "there is nothing at this address", "The page is at /.")
        page, nonce = render_page(self.server.title, self.server.token)
        self._send(200, "text/html; charset=utf-8", page, page_headers(nonce))

    def _send_answer(self) -> None:
        check_asker(self.headers, self.server.port)
        check_token(self.headers, self.server.token)
        asked = urlsplit(self.path)
        length = content_length(self.headers)
        if asked.path not in ("/api/gallery", "/api/identify", "/api/enroll", "/api/undo"):
            raise Refusal(404, "path", "there is nothing at this address", "The page is at /.")
        with self.server.body_room():
            content = self._read(length)
            with self.server.answers.room():
                told = self._told(asked.path, _values(asked.query), content)
        self._send_json(200, told)

    def _told(self, path: str, values: Mapping[str, str], content: bytes) -> dict[str, Any]:
        answers, name = self.server.answers, values.get("name", "")[:_LONGEST_NAME] or "picture"
        if path == "/api/gallery":
            return answers.gallery()
        if path == "/api/undo":
            return answers.undo(values.get("call", ""))
        if not content:
            raise Refusal(400, "empty", "expected the bytes of a picture, got none")
        if path == "/api/identify":
            return answers.identify(content, name)
        return answers.enroll(content, name, values.get("label", ""), _box(values.get("box", "")))

    def _read(self, length: int) -> bytes:
        """Return the body, which must come in time."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        self._timed.allow(_BODY_SECONDS + length / _SLOWEST_BYTES)
        try:
            content = self.rfile.read(length)
        except TimeoutError:
            raise Refusal(408, "slow", "the picture took too long to come", "Try again.") from None
        if len(content) < length:
            raise ConnectionError("the client left")
        return content

    def _send_refusal(self, refusal: Refusal) -> None:
        """Tell why, and let the connection go: what follows in it may be an unread picture."""
        self.close_connection = True
        content = {"code": refusal.code, "what": refusal.what, "do": refusal.do}
        with suppress(ConnectionError, TimeoutError):
            self._send_json(refusal.status, document("page.error", **content))
            self._linger()

    def _linger(self) -> None:
        """Throw away for a moment what is still being sent; else the answer would be lost."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self._timed.allow(_LINGER_SECONDS)
        left = _LINGER_BYTES
        while left > 0:
            part = self.rfile.read1(1 << 16)
            if not part:
                return
            left -= len(part)

    def _send_json(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content, allow_nan=False, default=str).encode()
        self._send(status, "application/json; charset=utf-8", body, {})

    def _send(self, status: int, kind: str, body: bytes, more: Mapping[str, str]) -> None:
        self.connection.settimeout(self.timeout)  # of the whole answer
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            **more,
        }
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD, POST"
        if self.close_connection:
            headers["Connection"] = "close"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _told(error: Exception) -> Refusal:
    """Return what a client is told about an error; what nobody expected is for the terminal."""
    for kind, status, code, do in _ERRORS:
        if isinstance(error, kind):
            return Refusal(status, code, str(error) or "there is not enough memory", do)
    _LOG.error("a request failed", exc_info=error)
    return Refusal(500, "internal", "the server failed on this request", "Look at its terminal.")


def _values(query: str) -> dict[str, str]:
    try:
        return {k: v[0] for k, v in parse_qs(query, errors="strict", max_num_fields=8).items()}
    except ValueError:
        raise Refusal(400, "query", "the address of the request cannot be read") from None


def _box(text: str) -> Box | None:
    """Return the box that a request names.

    Example:
        >>> _box("1,2,3.5,4"), _box("")
        ((1.0, 2.0, 3.5, 4.0), None)
    """
    if not text:
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise Refusal(400, "box", "expected a box as x1,y1,x2,y2") from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise Refusal(400, "box", "expected a box of four finite numbers")
    return x1, y1, x2, y2
