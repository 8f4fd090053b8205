"""OpenTelemetry: a span for each question with a child for each phase, sent when it has its outcome
(extra `otel`).

Names are those of the semantic conventions for generative AI where there is one, else ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ground.results.record import LoopRecord
from roundtrip.errors import EnvironmentFault
from roundtrip.stages import UNATTRIBUTED, spans_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "groundloop-station"


class Spans:
    """Where spans are sent.

    Args:
        exporter: takes them.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource({"service.name": SERVICE}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("groundloop")

    def settled(self, record: LoopRecord, model: str, zero_unix_s: float) -> None:
        """A question has its outcome.

        Args:
            record: its loop.
            model: that the node runs.
            zero_unix_s: when the plan's zero was.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        zero_ns = round(zero_unix_s * 1e9)
        loop = self._tracer.start_span(
            f"chat {model}",
            kind=SpanKind.CLIENT,
            start_time=zero_ns + record.planned.intended_ns,
            attributes=_attributes(record, model),
        )
        if not record.answered:
            loop.set_status(Status(StatusCode.ERROR, record.why))
        within = set_span_in_context(loop)
        for name, begin_ns, end_ns in spans_of(record.stamps):
            if name != UNATTRIBUTED:
                phase = self._tracer.start_span(name, context=within, start_time=zero_ns + begin_ns)
                phase.end(zero_ns + end_ns)
        loop.end(zero_ns + record.settled_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def spans_to(url: str) -> Spans:
    """Spans that go to a collector over OTLP/HTTP.

    Raises:
        EnvironmentFault: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise EnvironmentFault(
            "send spans", "OpenTelemetry is not installed", "pip install 'groundloop[otel]'"
        ) from None
    return Spans(OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces"))


def _attributes(record: LoopRecord, model: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groundloop",
        "gen_ai.request.model": model,
        "groundloop.question_id": f"{record.question_id:014x}",
        "groundloop.outcome": record.outcome.value,
        "groundloop.split": record.split,
    }
    if record.answered:
        found |= {
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.output_tokens,
            "gen_ai.response.finish_reasons": [record.finish_reason],
        }
    else:
        found["error.type"] = record.reason
    return found
