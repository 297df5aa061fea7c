"""The server of the page: on 127.0.0.1, a thread per connection, a new token per start."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, final

from ilk.errors import InvalidInput
from ilk.server.admission import Refusal
from ilk.server.answers import Answers
from ilk.server.handler import Handler

__all__ = ["PageServer", "open_server"]

_LOOPBACK = "127.0.0.1"
_MOST_CONNECTIONS = 64
_MOST_BODIES = 16
"""Pictures that come in, or wait to be looked at, together: bounds the memory."""
_PATIENCE_SECONDS = 30.0


@final
class PageServer(ThreadingHTTPServer):
    """Listens from when it is made; `serve_forever` answers."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answers: Answers, port: int, title: str) -> None:
        """Listen on a port of this machine; 0 is any that is free."""
        self.answers, self.title = answers, title
        self.token = secrets.token_urlsafe(32)
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._bodies = threading.BoundedSemaphore(_MOST_BODIES)
        super().__init__((_LOOPBACK, port), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://{_LOOPBACK}:{self.port}/"

    @contextmanager
    def body_room(self) -> Iterator[None]:
        """Wait for room to take in a body. A slow one keeps nobody from being answered.

        Raises:
            Refusal: It takes too long.
        """
        if not self._bodies.acquire(timeout=_PATIENCE_SECONDS):
            raise Refusal(503, "busy", "too many pictures are being sent", "Try again.")
        try:
            yield
        finally:
            self._bodies.release()

    def server_bind(self) -> None:
        """Bind without asking the network what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless there are too many already."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started, so none gives the place back
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave; report the rest on standard error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError | socket.timeout):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Stop listening, and wait a while for what is being answered."""
        super().server_close()
        self.answers.close()


def open_server(
    answers: Answers, *, host: str = _LOOPBACK, port: int = 8765, title: str = "gallery"
) -> PageServer:
    """Return a server that listens on this machine, for this machine.

    Args:
        answers: What is asked.
        host: Only 127.0.0.1, or localhost by name.
        port: 0 is any that is free.
        title: What the browser calls the page.

    Raises:
        InvalidInput: The host is another, or the port is taken.
    """
    if host not in (_LOOPBACK, "localhost"):
        raise InvalidInput(
            f"the page is for this machine only, expected --host 127.0.0.1, got {host!r}: whoever "
            "reached it from elsewhere could see and change the gallery, because it asks for no "
            "key; to use it from another machine, forward the port with `ssh -L`"
        )
    try:
        return PageServer(answers, port, title)
    except (OSError, OverflowError) as error:
        raise InvalidInput(
            f"cannot listen on port {port} of {_LOOPBACK}: {error}; give another with --port, or "
            "0 for any that is free"
        ) from None
