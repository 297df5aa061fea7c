"""`ilk enroll GALLERY SOURCE`: enroll examples of classes."""

from __future__ import annotations

import json
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ilk.cli.galleries import actor_option, gallery_argument, json_option, threads_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option

if TYPE_CHECKING:
    from ilk.detecting import Choice
    from ilk.items import Items
    from ilk.recognizer import Recognizer
    from ilk.results import Enrollment
    from ilk.store import Role

__all__ = ["enroll"]

_NUM_NAMED = 20


class _Metadata(click.ParamType[Any]):
    """A JSON object."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Return it."""
        try:
            content = json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"expected a JSON object, got {value!r}: {error}", param, ctx)
        if not isinstance(content, dict):
            self.fail(f"expected a JSON object, such as '{{\"camera\": 3}}', got {value!r}")
        return content


@click.command()
@gallery_argument
@click.argument("sources", metavar="SOURCE | FILE...", nargs=-1, required=True)
@click.option("--label", metavar="NAME", help="The class that the FILEs are examples of.")
@click.option("--not", "is_not", metavar="NAME", help="The class that the FILEs are not.")
@click.option(
    "--ignore", is_flag=True, help="The FILEs are of no class: ignore what looks like them."
)
@click.option(
    "--keep-crops",
    is_flag=True,
    help="Keep a small picture of each, to look at and for migrations.",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day from which they may no longer be kept; they are erased when it comes.",
)
@click.option(
    "--metadata", type=_Metadata(), metavar="JSON", help="A JSON object to keep with each of them."
)
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse examples that are closer to another class than to their own, outliers of their "
    "class, of a label that looks like another's, or of strangers whom the calibration cannot "
    "spare, instead of warning of them; exit with 1 if the same bytes have two labels.",
)
@click.option("--no-cache", is_flag=True, help="Compute all embeddings anew, and cache none.")
@detector_option
@choice_option("only")
@threads_option
@actor_option
@json_option
def enroll(
    gallery: Path,
    sources: tuple[str, ...],
    label: str | None,
    is_not: str | None,
    ignore: bool,
    keep_crops: bool,
    expires: datetime | None,
    metadata: dict[str, Any] | None,
    strict: bool,
    no_cache: bool,
    detector: str | None,
    choice: Choice,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
) -> None:
    """Enroll examples of classes in a gallery.

    SOURCE is a folder with a folder per class, a .csv, .tsv or .parquet table with the columns path
    and label, or a data set by name such as glyphs:test. With --label, --not or --ignore, give
    FILEs, folders or patterns instead.

    Each example succeeds or fails by itself, and is skipped if the same bytes are enrolled as the
    same class already. Ctrl-C stops after the current part and says what was enrolled; `ilk gallery
    undo` takes back all of one command.
    """
    from ilk.embedding import EmbeddingCache
    from ilk.gallery.forgetting import forget_in_caches
    from ilk.recognizer import Recognizer

    if (label is not None) + (is_not is not None) + ignore > 1:
        raise click.UsageError("Give only one of --label, --not and --ignore.")
    role: Role = "not" if is_not is not None else "ignore" if ignore else "exemplar"
    name = label if label is not None else is_not
    items = _items(sources, name or "", has_label=name is not None or ignore)
    call = secrets.token_hex(8)
    options: dict[str, Any] = {
        "role": role,
        "choice": "all" if role != "exemplar" and choice == "only" else choice,
        "keep_crops": keep_crops,
        "expires": expires.date() if expires is not None else None,
        "metadata": [metadata] * len(items) if metadata else None,
        "guard": "refuse" if strict else "warn",
        "cache": None if no_cache else EmbeddingCache(),
        "call": call,
    }
    with Recognizer.open(
        gallery, detector=detector, num_threads=num_threads, actor=actor
    ) as recognizer:
        missing = recognizer.gallery.shortage(items.classes) if role == "exemplar" else ""
        if missing:
            click.echo(f"{'refused' if strict else 'look at'}: {missing}", err=True)
        answers = _enroll(recognizer, gallery, items, options)
        if any(answer.exemplar_id is None and not answer.is_enrolled for answer in answers):
            forget_in_caches(recognizer.gallery.access)  # it was embedded once more to be refused
    _tell(answers, as_json=as_json, strict=strict)


def _items(sources: tuple[str, ...], label: str, *, has_label: bool) -> Items:
    from ilk.datasets import open_source
    from ilk.datasets.files import open_files

    if has_label:
        return open_files(sources, label)
    if len(sources) > 1:
        raise click.UsageError(
            "Give one SOURCE, or say with --label, --not or --ignore what the FILEs show."
        )
    return open_source(sources[0], on_unreadable="skip")


def _enroll(
    recognizer: Recognizer, gallery: Path, items: Items, options: dict[str, Any]
) -> list[Enrollment]:
    """Enroll with a bar; whatever stops it, say what the gallery has of it, and leave."""
    try:
        with _terminable(), progress_bar() as progress:
            return recognizer.enroll(
                items, **options, progress=lambda done, of: progress("Enrolling", done, of)
            )
    except BaseException as error:
        from ilk.shell import command_line
        from ilk.words import counted

        is_asked = isinstance(error, KeyboardInterrupt)
        count = _num_enrolled(gallery, options["call"])
        if not (count or is_asked):  # the error says all that there is to say
            raise
        back = f"; undo that with `{command_line('ilk gallery undo', gallery)}`" if count else ""
        told = f"{counted(count, 'exemplar')} of {len(items):,} {'is' if count == 1 else 'are'}"
        click.echo(f"{'interrupted' if is_asked else 'stopped'}: {told} enrolled{back}", err=True)
        raise


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a request to end (SIGTERM) be an exception, so that what was done can be told."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _num_enrolled(gallery: Path, call: str) -> int:
    """Ask the gallery itself, opened anew: the interruption came anywhere."""
    from ilk.gallery import Gallery

    with Gallery.open(gallery) as opened:
        effects = [e for c in opened.history() if c.call == call for e in c.effects]
    rows = [r for e in effects if (e.table, e.field) == ("exemplar", "is_live") for r in e.rows]
    return sum(last - first + 1 for first, last in rows)


def _tell(answers: list[Enrollment], *, as_json: bool, strict: bool) -> None:
    from ilk.cli.documents import print_document
    from ilk.documents import enrollment
    from ilk.errors import DataError

    enrolled = [answer for answer in answers if answer.is_enrolled]
    out = [answer for answer in answers if not answer.is_enrolled]
    conflicts = [a for a in out if a.code == "conflict"]
    there = [a for a in out if a.exemplar_id is not None and a.code != "conflict"]
    refused = conflicts + [a for a in out if a.exemplar_id is None and a.code != "conflict"]
    warned = [answer for answer in enrolled if answer.reason]
    if as_json:
        counts = {
            "num_enrolled": len(enrolled),
            "num_already": len(there),
            "num_refused": len(refused),
            "num_by_code": dict(_codes(refused)),
        }
        print_document("enroll", **counts, answers=[enrollment(a) for a in answers])
    else:
        _print(enrolled, there, refused, warned)
    if refused and not enrolled and not there:
        raise DataError(
            f"expected something to enroll, and none of {len(refused)} could be; "
            f"{refused[0].name}: {refused[0].reason}"
        )
    if conflicts and strict:
        raise DataError(_told_conflicts(len(conflicts)))


def _print(
    enrolled: list[Enrollment],
    there: list[Enrollment],
    refused: list[Enrollment],
    warned: list[Enrollment],
) -> None:
    from ilk.words import counted

    labels = {answer.label for answer in enrolled if answer.label}
    of = f" of {counted(len(labels), 'class', 'classes')}" if labels else ""
    click.echo(f"enrolled {counted(len(enrolled), 'exemplar')}{of}")
    groups = (("skipped", there), ("not enrolled", refused), ("look at", warned))
    for title, group in groups:
        for answer in group[:_NUM_NAMED]:
            where = f" as exemplar {answer.exemplar_id}" if answer.exemplar_id is not None else ""
            click.echo(f"{title}: {answer.name}{where}: {answer.reason}", err=True)
        if len(group) > _NUM_NAMED:
            click.echo(f"{title}: and {len(group) - _NUM_NAMED:,} more (--json has all)", err=True)
    codes = _codes(refused)
    if len(refused) > 1 and codes:
        told = ", ".join(
            f"{number:,} {code.replace('_', ' ') or 'for another reason'}"
            for code, number in codes.most_common()
        )
        click.echo(f"not enrolled: {len(refused):,} in all: {told}", err=True)
    if codes["conflict"]:
        click.echo(_told_conflicts(codes["conflict"]), err=True)
    if any(code.startswith("several_") for code in codes):
        click.echo("use --largest to take the largest face (or region) of each picture", err=True)


def _told_conflicts(count: int) -> str:
    from ilk.words import counted

    verb = "is" if count == 1 else "are"
    return (
        f"{counted(count, 'item')} {verb} there under another label, or as an example of what "
        "contradicts this one; decide which is right"
    )


def _codes(refused: list[Enrollment]) -> Counter[str]:
    """Return how many were refused for which reason; "" is one without a code."""
    return Counter(answer.code for answer in refused)
