"""How questions go up: what the node knows already is left out, what it can unpack is packed. Pure.

What the node knows is learned from what it acknowledged and said; where that is wrong, as after a
restart of the node, it says so and the question goes up again, whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from roundtrip import codec
from roundtrip.message import MODEL_BYTES, Answer, Health, Question, Refusal, Unreadable
from roundtrip.settings import Texts, name_of
from roundtrip.text import packing

MODELS = 16
"""That are remembered."""


@dataclass(frozen=True, slots=True)
class Form:
    """What of a question is left out, or packed."""

    named: bool
    """The node has its settings: their name goes up."""
    packed: bool
    """The node can unpack its text."""
    continued: bool = False
    """The node has what was said before."""


class Wording:
    """What the node knows."""

    def __init__(self) -> None:
        self._settings: set[bytes] = set()
        """By name."""
        self._texts: Texts = None
        """As we can unpack them, until the node says otherwise."""
        self.rate_bps = 0
        """At which questions go up."""
        self._models: dict[bytes, tuple[str, str]] = {}
        """What has answered there, by what answers say of it; the last one last."""

    def form(self, question: Question) -> Form:
        """How a question would go up now."""
        return Form(
            name_of(question.settings) in self._settings,
            packed=self._texts != (),
            continued=question.after is not None,
        )

    def payload(self, question: Question) -> bytes:
        """A question as it goes up now."""
        return codec.encode(
            question,
            texts=packing.worth(self._texts, self.rate_bps),
            named=self.form(question).named,
            continued=True,
            unpacks=packing.known(),
        )

    def arrived(self, question: Question) -> None:
        """The node has a question, with its settings."""
        self._settings.add(name_of(question.settings))

    def told(self, health: Health) -> None:
        """The node said what it is."""
        self._texts = health.texts
        mark = bytes.fromhex(health.sha256)[:MODEL_BYTES]
        self._models.pop(mark, None)
        self._models[mark] = f"{health.model} {health.quantization}".strip(), health.sha256
        if len(self._models) > MODELS:
            del self._models[next(iter(self._models))]

    def model_of(self, answer: Answer | Refusal) -> tuple[str, str]:
        """The name and the SHA-256 of what answered, as far as the node has said so."""
        mark = answer.model if isinstance(answer, Answer) else b""
        if mark:
            return self._models.get(mark, ("", mark.hex()))
        return next(reversed(self._models.values()), ("", ""))

    def unreadable(self, reply: Unreadable) -> None:
        """The node could not read a question."""
        match reply.what:
            case "text":
                self._texts = ()
            case "settings":
                self._settings.clear()
