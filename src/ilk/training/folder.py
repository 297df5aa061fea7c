"""The folder beside an artifact that holds a run: settings, checkpoints and logs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import final

from ilk.config import Run, as_toml, differences, load_run
from ilk.errors import ConfigError, DataError

__all__ = ["RunFolder"]

_MAY_DIFFER = (
    "data.source",
    "data.cache_mib",
    "data.num_threads",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.log_every",
    "trainer.loggers",
)


@final
class RunFolder:
    """`NAME.run` beside the artifact NAME.

    Args:
        output: Where the artifact goes.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(output.name + ".run")
        self.checkpoints = self.path / "checkpoints"
        self.logs = self.path / "logs"
        self.settings = self.path / "run.toml"

    @property
    def is_unfinished(self) -> bool:
        """Whether there is something to go on from."""
        return (self.checkpoints / "last.safetensors").is_file()

    def prepare(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse what would be lost, and make sure that there is a place to write to.

        Raises:
            ConfigError: There is an artifact or an unfinished run already, or none to resume.
            OSError: Nothing can be written there.
        """
        if resume and overwrite:
            raise ConfigError("resume and overwrite contradict each other; choose one")
        if self.output.exists() and not overwrite:
            hint = "the run is finished" if resume else "choose another, or replace it"
            raise ConfigError(f"{self.output} exists already: {hint} with --overwrite")
        if resume and not self.is_unfinished:
            raise ConfigError(f"{self.path} has no checkpoint to resume from; leave out --resume")
        if self.is_unfinished and not (resume or overwrite):
            raise ConfigError(
                f"{self.path} holds an unfinished run; go on with --resume, or start again with "
                "--overwrite"
            )
        if self.path.exists() and not self.settings.is_file() and any(self.path.iterdir()):
            raise ConfigError(f"{self.path} is not a folder of a run; choose another --output")
        if not resume and self.path.exists():
            shutil.rmtree(self.path)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        if not resume:
            self.settings.write_text("", "utf-8")

    def require_room(self, num_bytes: int) -> None:
        """Refuse to start what the disk cannot hold.

        Raises:
            DataError: There is less room than `num_bytes`.
        """
        free = shutil.disk_usage(self.path).free
        if free < num_bytes:
            raise DataError(
                f"checkpoints and artifact take about {num_bytes >> 20} MiB, {self.path} has room "
                f"for {free >> 20} MiB; make room or choose another --output"
            )

    def keep_settings(self, run: Run, *, resume: bool) -> None:
        """Write the resolved settings down, or hold them against those of the run so far.

        Raises:
            ConfigError: A setting has changed that would make another run of it.
        """
        if resume:
            before = load_run(self.settings)
            for path, old, new in differences(before, run):
                # What an earlier version did not settle is settled now.
                if path not in _MAY_DIFFER and old != "auto":
                    raise ConfigError(
                        f"{path}: the run was started with {old!r} and cannot go on with {new!r}; "
                        "leave it as it was, or start again with --overwrite"
                    )
        self.settings.write_text(as_toml(run), "utf-8")
