"""Reading from a connection that must be done by a time, however slowly its bytes come."""

from __future__ import annotations

import io
import socket
import time
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["TimedReader"]


@final
class TimedReader(io.RawIOBase):
    """Bytes of a connection, until the time that was allowed is over.

    A timeout of the socket begins anew with each byte, so a client that sends one now and then
    could stay for ever.

    Example:
        >>> here, there = socket.socketpair()
        >>> reader = TimedReader(here)
        >>> reader.allow(60.0)
        >>> there.send(b"GET")
        3
        >>> reader.read(3)
        b'GET'
        >>> here.close(), there.close()
        (None, None)
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._end = connection, 0.0

    def allow(self, seconds: float) -> None:
        """Let reading go on until so many seconds from now."""
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Return how many bytes came; 0 at the end.

        Raises:
            TimeoutError: The time is over.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time to read is over")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
