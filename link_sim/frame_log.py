"""Where the fate of every frame is written: one file, or a file an hour in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from roundtrip.errors import EnvironmentFault
from roundtrip.framelog import FrameFate, hour_log, to_line
from roundtrip.units import NS_PER_S

HOUR_NS = 3600 * NS_PER_S


class FrameLog:
    """The log of one link.

    Args:
        path: a file, which is written on; or a folder.

    Raises:
        EnvironmentFault: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs = 1
        self._hour = -1
        self._hourly = path.is_dir()
        self._file = None if self._hourly else _opened(path)

    def write(self, fate: FrameFate) -> None:
        """One frame's."""
        hour = fate.handed_ns // HOUR_NS
        if self._hourly and hour > self._hour:
            self.close()
            self._hour, self._file = hour, _opened(hour_log(self._path, hour))
        assert self._file is not None
        self._file.write(to_line(fate) + "\n")

    def next_run(self) -> None:
        """Another run begins: it gets a file beside this one."""
        if not self._hourly:
            self._runs += 1
            self.close()
            self._file = _opened(self._path.with_stem(f"{self._path.stem}-{self._runs}"))

    def flush(self) -> None:
        """Have it on its way to the disk."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()


def _opened(path: Path) -> TextIO:
    try:
        log = path.open("a+", encoding="utf-8")
        if log.tell():  # the last line may have been cut off
            log.write("\n")
        return log
    except OSError as error:
        raise EnvironmentFault(
            f"write {path}", error.strerror or "failed", "give a folder that can be written"
        ) from None
