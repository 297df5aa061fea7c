"""A network in ONNX form, run on the CPU by ONNX Runtime, with suspicion: it may be a stranger's.

Shapes: N inputs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from ilk.errors import ArtifactError, InvalidInput
from ilk.model_files import read_facts

__all__ = ["Session"]

_SECONDS, _SECONDS_PER_ROW = 10.0, 2.0
"""How long a network with loops may take, and for each input; encoders of faces take a hundredth.
Without loops it ends by itself."""


@final
class Session:
    """Runs a network. Safe to call from several threads at once."""

    def __init__(self, onnx: bytes, num_threads: int | None = None) -> None:
        """Start it.

        Args:
            onnx: The network.
            num_threads: Threads within one batch; None is all cores that this process may use.

        Raises:
            InvalidInput: It cannot be run, or must not be: the message says why, in words that
                follow "cannot be run: ".
        """
        import onnxruntime

        facts = read_facts(onnx)
        if facts.outside:
            raise InvalidInput(
                f"its weights {facts.outside[0]!r} are in another file, which nothing vouches for; "
                "save it with its weights inside"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or _num_usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._make_run_options: Any = onnxruntime.RunOptions
        self._has_loops = facts.has_loops
        try:
            self._session: Any = onnxruntime.InferenceSession(
                onnx, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises classes of its own, without a common root
            version = onnxruntime.__version__
            raise InvalidInput(
                f"ONNX Runtime {version} does not take it ({_line(error)}); upgrade onnxruntime, "
                "or export it again"
            ) from None
        self.inputs: list[Any] = self._session.get_inputs()
        """What goes in: `name`, `type` and `shape` of each."""
        self.outputs: list[Any] = self._session.get_outputs()
        """What comes out."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the first output for one batch of the first input.

        Args:
            batch: (N, ...).

        Raises:
            InvalidInput: The network does not take it; the message is the reason alone.
            ArtifactError: It does not end, or takes more memory than there is.
        """
        options = self._make_run_options()
        options.log_severity_level = 4
        names = [self.outputs[0].name], {self.inputs[0].name: batch}
        seconds = _SECONDS + _SECONDS_PER_ROW * len(batch)
        try:
            with _deadline(options, seconds if self._has_loops else None):
                (found,) = self._session.run(*names, options)
        except Exception as error:  # ONNX Runtime raises classes of its own, without a common root
            if options.terminate:
                raise ArtifactError(
                    f"expected a network that ends, it went on for {seconds:g} s; it repeats "
                    "something without end: do not use it, or export it without loops"
                ) from None
            if any(sign in str(error) for sign in ("bad_alloc", "allocate memory")):
                raise ArtifactError(
                    "expected a network that can be run in the memory of this process, it takes "
                    "more; use a smaller one, or fewer inputs at once"
                ) from None
            raise InvalidInput(_line(error)) from None
        return np.asarray(found)


@contextmanager
def _deadline(options: Any, seconds: float | None) -> Iterator[None]:
    """Stop a run after so many seconds; None is never, and costs nothing."""
    if seconds is None:
        yield
        return

    def stop() -> None:
        options.terminate = True

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _num_usable_cores() -> int:
    """Cores that this process may use, which a container or taskset can make fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _line(error: Exception) -> str:
    """Return what an error says, in one line of bearable length."""
    return " ".join(str(error).split())[:300]
