"""The record of a question when it has its outcome. Pure."""

from __future__ import annotations

from dataclasses import replace

from dtn.agent import BundleReceived
from ground.results.record import LoopRecord, NodeTimes, Planned, Seen
from ground.stamps import Quickest, Stamps
from roundtrip.budget import Budget, Outcome
from roundtrip.contacts import Windows
from roundtrip.message import Answer, Refusal
from roundtrip.units import NS_PER_US


def replied(
    planned: Planned,
    reply: Answer | Refusal,
    received: BundleReceived,
    stamps: Stamps,
    *,
    budget: Budget,
    quickest: Quickest,
    downlink: Windows,
    in_contact_ns: int | None,
    names: tuple[str, ...] = (),
    model: tuple[str, str] = ("", ""),
) -> LoopRecord:
    """Of a question that the node has answered or refused.

    Args:
        names: what it asked to see, and then what it let the model call.
        model: what answers on board, as the node has said, and its SHA-256.
    """
    times, at_ns = _node_times(reply), received.received_ns
    estimate = stamps.replied(times, at_ns, received.block_bytes, quickest, downlink)
    partial = isinstance(reply, Answer) and reply.finish_reason == "deadline"
    record = LoopRecord(
        reply.question_id,
        planned,
        budget.judge(at_ns - planned.intended_ns, partial=partial),
        "",
        stamps=estimate.stamps,
        settled_ns=at_ns,
        in_contact_ns=in_contact_ns,
        split="estimate",
        uncertainty_ns=estimate.uncertainty_ns,
        node_times=times,
        uplink_sessions=tuple(stamps.sessions),
        downlink_session=stamps.downlink_session,
    )
    if isinstance(reply, Refusal):
        return replace(
            record,
            outcome=Outcome.REFUSED,
            reason=reply.reason,
            in_contact_ns=None,
            detail=reply.detail,
        )
    return replace(
        record,
        answer=reply.text,
        thoughts=reply.thoughts,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        output_tokens=reply.output_tokens,
        node_rss_peak_bytes=reply.rss_peak_bytes,
        spent_mj=reply.spent_mj,
        exposed=reply.exposed,
        seen=_seen(reply, names),
        model=model[0],
        model_sha256=model[1],
    )


def expired(
    question_id: int, planned: Planned, reason: str, stamps: Stamps, text: str, *, now_ns: int
) -> LoopRecord:
    """Of a question for which the ground waits no longer.

    Args:
        question_id, planned: which.
        reason: why not.
        stamps: as far as they are known.
        text: as much of an answer as has come.
        now_ns: the time.
    """
    estimate = stamps.expired(now_ns)
    return LoopRecord(
        question_id,
        planned,
        Outcome.EXPIRED,
        reason,
        stamps=estimate.stamps,
        settled_ns=now_ns,
        in_contact_ns=None,
        split="estimate",
        uncertainty_ns=estimate.uncertainty_ns,
        answer=text or None,
        uplink_sessions=tuple(stamps.sessions),
    )


def _seen(reply: Answer, names: tuple[str, ...]) -> tuple[Seen, ...]:
    return tuple(
        Seen(names[one.what] if one.what < len(names) else "?", one.age_ms, one.digest, one.size)
        for one in reply.seen
    )


def _node_times(reply: Answer | Refusal) -> NodeTimes:
    if isinstance(reply, Refusal):
        refused_ns = reply.refused_us * NS_PER_US
        return NodeTimes(refused_ns, refused_ns, refused_ns, reply.delivered_us)
    return NodeTimes(
        reply.started_us * NS_PER_US,
        reply.first_token_us * NS_PER_US,
        reply.finished_us * NS_PER_US,
        reply.delivered_us,
        None if reply.called_us is None else reply.called_us * NS_PER_US,
    )
