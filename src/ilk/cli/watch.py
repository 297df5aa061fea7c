"""`ilk watch GALLERY SOURCE`: who passes by, in a video, a folder of frames or before a camera."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ilk.cli.galleries import actor_option, gallery_argument, threads_option
from ilk.cli.progress import progress_bar
from ilk.cli.sources import choice_option, detector_option

if TYPE_CHECKING:
    from types import FrameType

    from ilk.watching import Event, Frames, Watch, WatchSettings

__all__ = ["watch"]

_LIVE_DECIDE_AFTER = 10
"""Before a camera somebody waits for the answer."""


@click.command()
@gallery_argument
@click.argument("source", metavar="SOURCE")
@click.option(
    "--every", default=1, type=click.IntRange(min=1), help="Look at every Nth frame only."
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="Look at so many frames a second at most.",
)
@click.option(
    "--pictures-per-second",
    default=25.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="At which rate the pictures of a folder were taken.",
)
@click.option(
    "--rule",
    default="best",
    show_default=True,
    type=click.Choice(["best", "set"]),
    help="Ask about the best frame of a track, or about several together, which is stricter.",
)
@click.option(
    "--shots",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many frames of a track to keep for --rule set.",
)
@click.option(
    "--decide-after",
    type=click.IntRange(min=0),
    help="Decide as soon as so many frames of a track can be compared; 0 is when it ends. Default: "
    "10 with a camera, otherwise 0.",
)
@click.option(
    "--min-frames",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Ignore tracks that are seen in fewer frames.",
)
@click.option(
    "--lost",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="For how many seconds a track may be out of sight.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append events to this file, one JSON object per line, each on disk at once.",
)
@click.option(
    "--draw",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the best frame of each track to this folder, with box and name.",
)
@click.option(
    "--crops",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what the encoder saw of each track to a folder of its own inside this one.",
)
@click.option(
    "--keep-unknown",
    is_flag=True,
    help="Keep the best frame of unknown tracks, to look through with `ilk unknown list`.",
)
@detector_option
@choice_option("all")
@threads_option
@actor_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, described in docs/json.md.")
def watch(
    gallery: Path,
    source: str,
    every: int,
    fps: float | None,
    pictures_per_second: float,
    log: Path | None,
    draw: Path | None,
    crops: Path | None,
    detector: str | None,
    num_threads: int | None,
    actor: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Follow what passes through a video or camera, with one decision per track.

    SOURCE is a video file; a folder of frames or a pattern such as 'frames/*.jpg', in the order of
    their names; camera:0; or a stream such as rtsp://door/1. The best frames of a track are chosen
    before the gallery is asked, and it is asked once per track, so that a stranger who passes gets
    a name no more often than one in a picture. Ctrl-C decides the open tracks and ends.
    """
    from ilk.recognizer import Recognizer
    from ilk.watching import EventLog, Watch, open_frames
    from ilk.watching.picturing import TrackPictures

    with ExitStack() as stack:
        frames = stack.enter_context(
            open_frames(source, every=every, most_fps=fps, pictures_per_second=pictures_per_second)
        )
        recognizer = stack.enter_context(
            Recognizer.open(gallery, detector=detector, num_threads=num_threads, actor=actor)
        )
        name = frames.name + (time.strftime(" %Y-%m-%dT%H%M%S") if frames.is_live else "")
        settings = _settings(is_live=frames.is_live, with_scenes=draw is not None, **options)
        watching = Watch(recognizer, name, settings)
        writers: list[Callable[[Event], object]] = []
        if log is not None:
            events = stack.enter_context(EventLog(log))
            writers.append(lambda event: events.write(event.to_json()))
        for folder, is_crop in ((draw, False), (crops, True)):
            if folder is not None:
                pictures = TrackPictures(
                    folder, name, noun=recognizer.detector.noun, is_crop=is_crop
                )
                writers.append(pictures.write)

        def tell(event: Event) -> None:
            click.echo(_compact(event.to_json()) if as_json else event.line())
            for write in writers:
                write(event)

        start = time.monotonic()
        is_stopped = _run(watching, frames, tell)
        _tell_end(watching, frames, settings, time.monotonic() - start, as_json=as_json)
    if is_stopped and not frames.is_live:
        raise click.Abort


def _settings(
    *, is_live: bool, with_scenes: bool, decide_after: int | None, **options: Any
) -> WatchSettings:
    from ilk.watching import WatchSettings

    after = decide_after if decide_after is not None else _LIVE_DECIDE_AFTER * is_live
    return WatchSettings(
        rule=options["rule"],
        num_shots=options["shots"],
        decide_after=after or None,
        least_frames=options["min_frames"],
        most_lost_seconds=options["lost"],
        choice=options["choice"],
        keep_unknown=options["keep_unknown"],
        with_scenes=with_scenes,
    )


def _run(watching: Watch, frames: Frames, tell: Callable[[Event], None]) -> bool:
    """Watch to the end, or until somebody stops it; return whether somebody did."""
    with _stoppable(frames) as was_stopped, progress_bar() as progress:
        try:
            for frame in frames:
                for event in watching.look(frame):
                    tell(event)
                if frames.num_frames:
                    progress(
                        "Watching", min(frame.number + 1, frames.num_frames), frames.num_frames
                    )
        finally:
            for event in watching.finish():
                tell(event)
    return was_stopped.is_set()


@contextmanager
def _stoppable(frames: Frames) -> Iterator[threading.Event]:
    """Let the first Ctrl-C or request to end stop the frames, and the next interrupt as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        frames.stop()
        for kind, handler in before.items():
            signal.signal(kind, handler)

    try:
        for kind in before:
            signal.signal(kind, ask)
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _tell_end(
    watching: Watch, frames: Frames, settings: WatchSettings, seconds: float, *, as_json: bool
) -> None:
    from ilk.documents import document
    from ilk.words import counted, percent

    per_second = watching.num_looked / max(seconds, 1e-9)
    decided = watching.decisions
    for problem in frames.problems:
        click.echo(f"problem: {problem}", err=True)
    if as_json:
        told = document(
            "watch",
            source=frames.name,
            num_frames=watching.num_looked,
            seconds=round(seconds, 3),
            frames_per_second=round(per_second, 2),
            num_tracks=decided.total(),
            num_left_out=watching.num_left_out,
            decisions=dict(decided),
            target_fpir=watching.target_fpir,
            most_false_names=watching.most_false_names,
            problems=list(frames.problems),
        )
        click.echo(_compact(told))
        return
    kinds = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in sorted(decided.items()))
    click.echo(
        f"\nlooked at {counted(watching.num_looked, 'frame')} in {seconds:.1f} s "
        f"({per_second:.1f} per second): {counted(decided.total(), 'track')}"
        + (f": {kinds}" if kinds else "")
    )
    if watching.num_left_out:
        click.echo(
            f"{counted(watching.num_left_out, 'track')} of fewer than "
            f"{counted(settings.least_frames, 'frame')} ignored"
        )
    compared = decided.total() - decided["not_assessable"]
    if compared:
        share = percent(watching.most_false_names / compared)
        click.echo(
            f"if all compared tracks ({compared:,}) were of strangers, at most "
            f"{watching.most_false_names:.2g} of them would get a name on average ({share} each)"
        )


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, ensure_ascii=False)
