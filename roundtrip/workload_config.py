"""`[workload]` of a scenario file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from roundtrip.config import MAX_S, Line, Probability, Seconds, Section, Text
from roundtrip.message import Sampling
from roundtrip.onboard import See, ToolNames


class QuestionConfig(Section):
    """One entry of `workload.questions`; a bare text is one without `expected`."""

    text: Annotated[Text, Field(min_length=1)]
    """What is asked."""
    expected: Text | None = None
    """The one right answer, where there is one."""
    rule: Line = ""
    """Instead of `expected`: what the right answer follows from, given the frame that was seen,
    such as `check EPS.VBAT`: docs/node.md."""
    priority: Literal["bulk", "normal", "expedited"] = "normal"
    """Which goes first where not all can."""
    see: See | None = None
    """Instead of the workload's."""
    tools: ToolNames | None = None
    """Instead of the workload's."""

    @model_validator(mode="before")
    @classmethod
    def _bare_text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _graded_once(self) -> QuestionConfig:
        if self.rule and self.expected is not None:
            raise ValueError("either expected or rule")
        return self


class WorkloadConfig(Section):
    """`[workload]`."""

    questions: tuple[QuestionConfig, ...] = ()
    """Texts, or tables as below; asked in turn, from the first again."""
    questions_file: Line | None = None
    """Relative to the scenario file. One question a line; in a `.jsonl` file one JSON object a
    line, with `text` and, where there is one right answer, `expected`."""
    system: Text = ""
    """System prompt."""
    arrivals: Literal["fixed", "poisson"] = "fixed"
    """Evenly, or with exponential gaps."""
    rate_per_min: float = Field(default=6.0, ge=1e-3, le=1e6)
    """Questions a minute."""
    count: int = Field(gt=0, le=1_000_000)
    """Of questions."""
    start_s: Seconds = 0.0
    """Of the first."""
    max_tokens: int = Field(default=64, gt=0, le=32_768)
    """Of an answer with its thinking."""
    temperature: float = Field(default=0.7, ge=0, le=10)
    """0 is greedy; 0.7, top_p 0.8, top_k 20 are Qwen3's for answers without thinking."""
    top_p: Probability = 0.8
    """Of the likeliest tokens, share that may be chosen."""
    top_k: int = Field(default=20, ge=0, le=1 << 20)
    """So many of them; 0: all."""
    thinking: Literal["off", "on", "auto"] = "off"
    """`auto`: where there is time for it."""
    think_tokens: int = Field(default=0, ge=0, le=32_768)
    """After so many, thinking is ended; 0: after half of what there is time for."""
    response_schema: Text = ""
    """JSON Schema that answers keep to."""
    see: See = ()
    """What the node shows the model before each question: `telemetry` and `telemetry.history` of
    `[node.telemetry]`, or `camera/NAME` of `[node.camera]`."""
    tools: ToolNames = ()
    """What the model may call, as far as `[node.tools]` allows it."""
    max_outstanding: int = Field(default=256, gt=0, le=100_000)
    """More questions than this wait in the ground's queue."""

    @model_validator(mode="after")
    def _writes_one_thing(self) -> WorkloadConfig:
        if self.tools and self.response_schema:
            raise ValueError("tools or response_schema: an answer that keeps to one calls nothing")
        return self

    @model_validator(mode="after")
    def _ends(self) -> WorkloadConfig:
        last_s = self.start_s + (self.count - 1) * 60 / self.rate_per_min
        if last_s > MAX_S:
            raise ValueError(
                f"a last question within {MAX_S / 86_400:g} days: start_s, count and rate_per_min "
                f"put it at {last_s / 86_400:.0f}"
            )
        return self

    @property
    def sampling(self) -> Sampling:
        """As the messages carry it; the seed is set per question."""
        return Sampling(self.temperature, self.top_p, self.top_k)
