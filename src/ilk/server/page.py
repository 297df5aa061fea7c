"""The page as one document: markup, style and script of the files beside, nothing from afar."""

from __future__ import annotations

import secrets
from functools import cache
from html import escape
from pathlib import Path

__all__ = ["page_headers", "render_page"]

_FOLDER = Path(__file__).parent / "ui"
_SCRIPTS = ("elements.js", "asking.js", "people.js", "pictures.js", "camera.js", "dropping.js")


def render_page(title: str, token: str) -> tuple[bytes, str]:
    """Return the page and the nonce that its content security policy names.

    Example:
        >>> page, nonce = render_page("<my people>", "0123")
        >>> b"<title>&lt;my people&gt; - ilk</title>" in page, nonce.encode() in page
        (True, True)
    """
    nonce = secrets.token_urlsafe(16)
    text = _template()
    for key, value in (("token", token), ("nonce", nonce), ("title", title)):
        text = text.replace(f"%%{key}%%", escape(value))
    return text.encode(), nonce


def page_headers(nonce: str) -> dict[str, str]:
    """Return what a browser may do with the page: run its own script, ask its own server."""
    policy = {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'",
        "style-src": f"'nonce-{nonce}'",
        "img-src": "blob: data:",
        "media-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "X-Frame-Options": "DENY",
    }


@cache
def _template() -> str:
    def read(name: str) -> str:
        return (_FOLDER / name).read_text(encoding="utf-8")

    page = read("page.html").replace("%%style%%", read("page.css"))
    return page.replace("%%script%%", "\n".join(map(read, _SCRIPTS)))
