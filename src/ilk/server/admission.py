"""Which requests are let in: from the page of this server, and not too large."""

from __future__ import annotations

import secrets
from email.message import Message
from typing import final

__all__ = [
    "MAX_BYTES",
    "TOKEN_HEADER",
    "Refusal",
    "check_asker",
    "check_host",
    "check_token",
    "content_length",
]

MAX_BYTES = 20 * 1024 * 1024
"""The largest body of a request: one picture."""

TOKEN_HEADER = "X-Ilk-Token"
"""Carries what only the page of this start knows. A page from elsewhere cannot send it."""


@final
class Refusal(Exception):
    """A request that is not answered, with what the client is told."""

    def __init__(self, status: int, code: str, what: str, do: str = "") -> None:
        """Take the HTTP status, one word for machines, what is wrong, and what to do about it."""
        super().__init__(what)
        self.status, self.code, self.what, self.do = status, code, what, do


def check_host(headers: Message, port: int) -> None:
    """Refuse names of this machine that somebody else may have made up: DNS rebinding.

    Raises:
        Refusal: The header is missing, there are several, or it is not this server.
    """
    hosts = headers.get_all("Host") or []
    if len(hosts) != 1 or hosts[0].lower() not in _hosts(port):
        raise Refusal(
            403,
            "host",
            "this page answers to 127.0.0.1 and localhost only",
            f"Open http://127.0.0.1:{port}/.",
        )


def check_asker(headers: Message, port: int) -> None:
    """Refuse what another site makes a browser send.

    Raises:
        Refusal: The browser says that it is not from this page.
    """
    origins, sites = headers.get_all("Origin") or [], headers.get_all("Sec-Fetch-Site") or []
    own = {f"http://{host}" for host in _hosts(port)}
    if any(origin.lower() not in own for origin in origins) or any(
        site.lower() != "same-origin" for site in sites
    ):
        raise Refusal(
            403,
            "origin",
            "the request comes from another site",
            f"Open http://127.0.0.1:{port}/ itself.",
        )


def check_token(headers: Message, token: str) -> None:
    """Refuse what does not know the token of this start.

    Raises:
        Refusal: It is missing or another one.
    """
    given = headers.get_all(TOKEN_HEADER) or []
    is_right = secrets.compare_digest("".join(given[:1]).encode(), token.encode())
    if len(given) != 1 or not is_right:
        raise Refusal(
            403, "token", "this page is from before the server was started", "Load it anew."
        )


def content_length(headers: Message, max_bytes: int = MAX_BYTES) -> int:
    """Return how many bytes follow, before any is read.

    Raises:
        Refusal: The length is not said, is no number or is above the limit.
    """
    given = headers.get_all("Content-Length") or []
    if headers.get("Transfer-Encoding") is not None or not given:
        raise Refusal(411, "length", "the request does not say how long it is")
    # int() takes signs, blanks, underscores and other scripts' digits, too
    if len(given) != 1 or not (given[0].isascii() and given[0].isdecimal()) or len(given[0]) > 18:
        raise Refusal(400, "length", "the length of the request is not a number")
    length = int(given[0])
    if length > max_bytes:
        raise Refusal(
            413,
            "too_large",
            f"the picture has {length:,} bytes, at most {max_bytes:,} are taken",
            "Send a smaller copy of it.",
        )
    return length


def _hosts(port: int) -> set[str]:
    names = ("127.0.0.1", "localhost")
    return {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
