"""`ilk serve GALLERY`: the page for a gallery, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ilk.cli.galleries import actor_option, gallery_argument, threads_option
from ilk.cli.sources import detector_option

if TYPE_CHECKING:
    from ilk.recognizer import Recognizer

__all__ = ["open_page", "serve"]


@click.command()
@gallery_argument
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on: this machine only.",
)
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 takes any free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.option(
    "--keep-crops",
    is_flag=True,
    help="Keep a small picture of everything that is enrolled on the page.",
)
@detector_option
@threads_option
@actor_option
def serve(
    gallery: Path,
    host: str,
    port: int,
    no_browser: bool,
    keep_crops: bool,
    detector: str | None,
    num_threads: int | None,
    actor: str | None,
) -> None:
    """Open a page to ask about pictures and to enroll from them.

    Drop pictures on it, choose them, or use the camera. The page is for this machine only: it
    listens on 127.0.0.1. Ctrl-C ends it.
    """
    from ilk.recognizer import Recognizer

    with Recognizer.open(
        gallery, detector=detector, num_threads=num_threads, actor=actor
    ) as recognizer:
        open_page(recognizer, host=host, port=port, no_browser=no_browser, keep_crops=keep_crops)


def open_page(
    recognizer: Recognizer,
    *,
    host: str = "127.0.0.1",
    port: int,
    no_browser: bool,
    keep_crops: bool,
) -> None:
    """Serve the page until Ctrl-C."""
    import webbrowser

    from ilk.server import Answers, open_server

    answers = Answers(recognizer, keep_crops=keep_crops)
    with open_server(answers, host=host, port=port, title=answers.name) as server:
        click.echo(f"the page is at {server.address} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("\nthe page is closed")
