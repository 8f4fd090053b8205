"""Plays the table to a receiver, and judges by what can be seen from outside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.interop.conformance.peer import Peer, identity_of, is_fragment
from tests.interop.conformance.table import Row

RIGHT, WRONG, UNSEEN, OPEN, SKIPPED = "right", "WRONG", "unseen", "open", "skipped"
MEANINGS = {
    RIGHT: "as the standard says",
    WRONG: "not as the standard says",
    UNSEEN: "not to be seen from outside",
    OPEN: "left open by the standard",
    SKIPPED: "not played",
}


@dataclass(slots=True)
class Result:
    """What became of a row."""

    row: Row
    seen: str
    judged: str = ""


class Dead(Exception):
    """The receiver does not answer a correct block any more."""


def play(peer: Peer, rows: list[Row], probe: bytes, results: list[Result], *, keys: bool) -> None:
    """Send each row, and a correct bundle after it; what is seen is added to the results.

    Raises:
        Dead: that is not answered.
    """
    for row in rows:
        if row.sending:
            why = "about a block that the receiver sends, which nobody can ask for"
            results.append(Result(row, why, SKIPPED))
            continue
        if row.keys and not keys:
            results.append(Result(row, "for a receiver that has the keys (--keys)", SKIPPED))
            continue
        if row.kind == "bundle":
            for earlier in row.before:
                peer.deliver(earlier)
            seen = peer.deliver(row.data)
        else:
            seen = ", ".join(peer.answers(row.data, row.before)) or "silence"
        results.append(Result(row, seen))
        answer = peer.deliver(probe)
        if answer != "acknowledged":
            raise Dead(f"after {row.kind} {row.id} a correct bundle is answered by {answer}")


def judge(peer: Peer, result: Result) -> None:
    """Say what a row shows, once all status reports are here."""
    row = result.row
    if result.judged == SKIPPED:
        return
    if row.kind == "bundle":
        _judge_bundle(peer, result)
    else:
        _judge_segment(result)
    if row.verdict == "either":
        result.judged = OPEN


def _judge_bundle(peer: Peer, result: Result) -> None:
    identity, row = identity_of(result.row.data), result.row
    if identity is not None and identity in peer.delivered:
        result.seen = "reported as delivered"
        result.judged = RIGHT if row.verdict == "accept" else WRONG
    elif identity is not None and identity in peer.deleted:
        result.seen = f"reported as deleted, reason {peer.deleted[identity]}"
        result.judged = RIGHT if row.verdict == "reject" else WRONG
    elif result.seen.startswith("cancel"):
        result.judged = RIGHT if row.verdict == "reject" else WRONG
    elif result.seen == "silence" and is_fragment(row.data):
        result.seen = "silence; a receiver may hold the report until the bundle is whole"
        result.judged = UNSEEN
    elif result.seen == "silence":
        result.judged = WRONG if row.verdict == "accept" else UNSEEN
    else:
        result.seen = "block acknowledged; of the bundle nothing is told"
        result.judged = UNSEEN


def _judge_segment(result: Result) -> None:
    row, seen = result.row, set(result.seen.split(", "))
    if row.answer == "none":
        result.judged = RIGHT if seen == {"silence"} else WRONG
    elif row.verdict == "reject":  # a cancellation that should answer it
        result.judged = RIGHT if seen <= {row.answer, "silence"} else WRONG
    else:
        result.judged = RIGHT if seen == {row.answer} else WRONG


def last_line(results: list[Result]) -> str:
    """What came of it, counted."""
    counts = Counter(result.judged for result in results)
    parts = [f"{counts[judged]} {meaning}" for judged, meaning in MEANINGS.items()]
    return f"{len(results)} rows: {', '.join(parts)}"
