"""Watch a video, a folder of frames or a camera: follow what is seen, decide once per track."""

from ilk.watching.decision import Rule, TrackDecision, decide
from ilk.watching.events import Event, EventLog
from ilk.watching.frames import Frame, Frames, open_frames
from ilk.watching.tracker import Track, advance
from ilk.watching.watch import Watch, WatchSettings

__all__ = [
    "Event",
    "EventLog",
    "Frame",
    "Frames",
    "Rule",
    "Track",
    "TrackDecision",
    "Watch",
    "WatchSettings",
    "advance",
    "decide",
    "open_frames",
]
