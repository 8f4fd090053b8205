"""A span for each question, and one for each phase of it."""

from __future__ import annotations

import sys

import pytest

from ground.spans import Spans, spans_to
from roundtrip.errors import EnvironmentFault

pytest.importorskip("opentelemetry.sdk")
ZERO_S = 1_780_272_000


@pytest.fixture
def sent():
    """The spans of some records, by name."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    def send(*records):
        exporter = InMemorySpanExporter()
        spans = Spans(exporter)
        for record in records:
            spans.settled(record, "tiny", ZERO_S)
        spans.close()
        return exporter.get_finished_spans()

    return send


def test_phases_lie_in_their_loop_and_fill_it(sent, answered) -> None:
    record = answered(3)
    *phases, loop = sent(record)
    assert (loop.name, loop.start_time) == ("chat tiny", ZERO_S * 10**9 + 3_000_000_000)
    assert loop.end_time - loop.start_time == record.loop_ns
    assert loop.attributes["gen_ai.usage.output_tokens"] == 6
    assert loop.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert [phase.name for phase in phases] == list(record.phases_ns)
    assert {phase.parent.span_id for phase in phases} == {loop.context.span_id}
    spent = {phase.name: phase.end_time - phase.start_time for phase in phases}
    assert spent == record.phases_ns


def test_a_question_without_an_answer_is_an_error(sent, expired) -> None:
    *phases, loop = sent(expired())
    assert (loop.status.status_code.name, loop.status.description) == ("ERROR", "expired")
    assert loop.attributes["error.type"] == "expired"
    assert [phase.name for phase in phases] == ["ground_queue"]


def test_without_the_extra_it_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'groundloop\[otel\]'"):
        spans_to("http://localhost:4318")
