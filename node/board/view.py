"""What the node has to show: frames of its feed as text for a model, and as data for its tools.
Pure but for the feed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.board.feeds import Feed, NoReading
from node.board.pictures import Picture, Pictures
from node.board.reading import Reading, history_text, plain_of
from node.engine.events import Shown
from roundtrip.message import SIGHT_BYTES, Question
from roundtrip.onboard import SEE_CAMERA, SEE_HISTORY, TelemetryConfig
from roundtrip.scenario import Scenario
from roundtrip.text.packing import packed_bytes
from roundtrip.tools import HISTORY, PASSES, TELEMETRY, pass_text
from roundtrip.units import NS_PER_S, s_to_ns
from roundtrip.words import span

LEAST_FRAMES = 2
"""Of a history."""


@dataclass(frozen=True, slots=True)
class KnownPass:
    """A pass over a station, or any contact."""

    station: str
    start_ns: int
    end_ns: int
    elevation_deg: float | None
    """The highest."""


class NotSeen(Exception):
    """What a question wants to see cannot be shown, and why; the text is for people."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a model is shown with a question."""

    text: str
    """What was to be seen, and the question after it."""
    shown: tuple[Shown, ...]
    images: tuple[str, ...] = ()
    """As data URLs."""


Keep = Callable[[bytes, str], None]
"""Told of what was shown: the first bytes of its SHA-256, and its text."""


def unkept(digest: bytes, text: str) -> None:
    """For whoever needs no record of it."""


class Board:
    """What there is on board.

    Args:
        config: of the telemetry; None: there is none.
        feed: its frames.
        contacts: of the node, in order; what is known of its passes.
        clock: date and time in UTC, or what else there is.
        context: tokens that the engine has; no text is shown that could not fit.
        pictures: of the camera; None: there is none.
        keep: told of what was shown.
    """

    def __init__(
        self,
        config: TelemetryConfig | None,
        feed: Feed | None,
        contacts: Sequence[KnownPass] = (),
        clock: Callable[[int], str] = lambda now_ns: "",
        *,
        context: int,
        pictures: Pictures | None = None,
        keep: Keep = unkept,
    ) -> None:
        self._config = config
        self._feed = feed
        self._contacts = contacts
        self._clock = clock
        self._context = context
        self._pictures = pictures
        self._keep = keep

    def look(self, question: Question, *, now_ns: int) -> Look:
        """Put together what a question wants to see.

        Raises:
            NotSeen: some of it cannot be shown.
        """
        texts: list[str] = []
        shown: list[Shown] = []
        images: list[str] = []
        room = self._context - len(question.text.encode())
        for place, name in enumerate(question.see):
            if name.startswith(SEE_CAMERA):
                picture = self._picture(name)
                images.append(picture.url)
                shown.append(Shown(place, now_ns, digest_of(picture.data), picture.size))
                continue
            at_ns, text = self._text(name, room, now_ns)
            texts.append(text)
            room -= len(text.encode())
            shown.append(self.note(place, at_ns, text))
        return Look("\n\n".join([*texts, question.text]), tuple(shown), tuple(images))

    def note(self, what: int, at_ns: int, text: str) -> Shown:
        """Remember that a text was shown."""
        digest = digest_of(text.encode())
        self._keep(digest, text)
        return Shown(what, at_ns, digest, packed_bytes(text))

    def _picture(self, name: str) -> Picture:
        if self._pictures is None:
            raise NotSeen(f"{name}: there is no camera on board")
        return self._pictures.take(name.removeprefix(SEE_CAMERA))

    def _text(self, name: str, room: int, now_ns: int) -> tuple[int, str]:
        assert self._config is not None or self._feed is None
        if name != SEE_HISTORY:
            (reading,) = self.readings(1, now_ns)
            text = reading.text(self._channels)
            if not text:
                raise NotSeen(f"{name}: none of its channels is there")
            return reading.at_ns, text
        count = 0 if self._config is None else self._config.history_frames
        while count >= LEAST_FRAMES:
            readings = self.readings(count, now_ns)
            text = history_text(readings, self._channels)
            if len(text.encode()) <= room:  # a token is a byte or more
                return readings[0].at_ns, text
            count -= 1
        raise NotSeen(f"{name}: no room for two frames in {self._context} tokens")

    @property
    def _channels(self) -> tuple[str, ...]:
        return () if self._config is None else self._config.channels

    def readings(self, count: int, now_ns: int) -> list[Reading]:
        """Frames, the latest first; one or more.

        Raises:
            NotSeen: there is none, or it is too old.
        """
        config = self._config
        if self._feed is None or config is None:
            raise NotSeen("telemetry: there is none on board")
        step_ns = s_to_ns(config.history_s) // (config.history_frames - 1)
        try:
            readings = self._feed.frames(now_ns, step_ns, count)
        except NoReading as reason:
            raise NotSeen(f"telemetry: {reason}") from None
        if not readings:
            raise NotSeen("telemetry: no frame yet")
        old_ns = now_ns - readings[0].at_ns
        if old_ns > s_to_ns(config.stale_s):
            raise NotSeen(f"telemetry: no frame for {old_ns // NS_PER_S} s")
        return readings

    def view(self, name: str, now_ns: int) -> tuple[int, dict[str, Any]]:
        """What one of our tools needs, as plain data, and of when it is.

        Raises:
            NotSeen: it is not there.
        """
        if name in (TELEMETRY, HISTORY):
            count = 1 if name == TELEMETRY or self._config is None else self._config.history_frames
            readings = self.readings(count, now_ns)
            frames = [plain_of(one) for one in readings]
            return readings[0].at_ns, {"frames": frames, "channels": self._channels}
        if name == PASSES:
            return now_ns, {"pass": next_pass(self._contacts, now_ns)}
        return now_ns, {"time": self._clock(now_ns)}


def digest_of(data: bytes) -> bytes:
    """By which what was shown is told from other things."""
    return hashlib.sha256(data).digest()[:SIGHT_BYTES]


def next_pass(contacts: Sequence[KnownPass], now_ns: int) -> str:
    """The pass that is under way or comes next, in words."""
    coming = next((one for one in contacts if one.end_ns > now_ns), None)
    if coming is None:
        return "no pass is known"
    begins_s = -(-(coming.start_ns - now_ns) // NS_PER_S)
    until = span(begins_s) if begins_s > 0 else ""
    lasts = span((coming.end_ns - max(coming.start_ns, now_ns)) // NS_PER_S)
    return pass_text(coming.station or "ground", until, lasts, coming.elevation_deg)


def contacts_of(scenario: Scenario) -> tuple[KnownPass, ...]:
    """The passes of a scenario's node."""
    return tuple(
        KnownPass(one.station, s_to_ns(one.start_s), s_to_ns(one.end_s), one.max_elevation_deg)
        for one in scenario.contact
    )
