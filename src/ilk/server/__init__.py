"""The page: one recognizer on this machine, asked by a browser on this machine.

Standard library only. It binds to 127.0.0.1, takes the bytes of pictures, answers with JSON, and
never fetches an address nor opens a path that a request names.
"""

from ilk.server.answers import Answers
from ilk.server.serving import PageServer, open_server

__all__ = ["Answers", "PageServer", "open_server"]
