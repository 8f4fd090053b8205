"""Words for people: text of others on one line, counted nouns, durations, shares, intervals."""

from __future__ import annotations


def shown(text: object, width: int | None = None) -> str:
    r"""Text of others as it may be shown: on one line, and nothing in it that a terminal obeys.

    White space becomes one space. Whatever else does not print (escapes, NUL, bidirectional
    overrides, lone surrogates) is written as Python writes it: `\x1b`, `\u202e`.

    Args:
        text: a question, an answer, a name, a path, an error that quotes one of them.
        width: characters at the most; what is cut off ends in an ellipsis. None: all of it.
    """
    line = " ".join(printable(str(text)).split("\n"))
    if width is None:
        return line
    flat = " ".join(line.split())
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"


def printable(text: str) -> str:
    """The same for text of our own that may have several lines: its line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _instead(c) for c in text)


def _instead(character: str) -> str:
    return " " if character.isspace() else ascii(character)[1:-1]


def count(number: int, noun: str, plural: str = "") -> str:
    """A number of things: "1 thread", "2,048 tokens".

    Args:
        number: how many.
        noun: of one.
        plural: of several, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(value_ms: float | None) -> str:
    """A duration in ms as people read it."""
    if value_ms is None:
        return "–"
    if value_ms < 1:
        return f"{value_ms * 1000:.0f} µs"
    if value_ms < 1000:
        return f"{value_ms:.1f} ms"
    return f"{value_ms / 1000:.2f} s"


def long_duration(duration_ms: int) -> str:
    """A duration in the largest unit that it has two of: "364 days"."""
    for size_ms, unit in ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "min")):
        if duration_ms >= 2 * size_ms:
            return f"{round(duration_ms / size_ms)} {unit}"
    return f"{round(duration_ms / 1000)} s"


def span(seconds: int) -> str:
    """A duration as tools on board say it: "45 s", "84 min", "5 h 12 min"."""
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; 0 % and 100 % are said of none and of all alone."""
    while digits < 9 and 0 < share < 1 and round(share, digits + 2) in (0, 1):
        digits += 1
    return f"{share:.{digits}%}"


def between(low: str | None, high: str | None) -> str:
    """An interval; None is a side on which it is open."""
    if low is None or high is None:
        return f"≥ {low}" if low is not None else f"≤ {high}" if high is not None else "–"
    return f"{low} to {high}"
