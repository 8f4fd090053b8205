"""What the bytes on the air were for, per direction: text, message, bundle, security, segments.

Up it is what left the ground, down what came to it; both since the ground was started last. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from dtn.agent import BundleAgent
from dtn.tally import Tally
from roundtrip import codec
from roundtrip.message import Answer, Part, Question, Refusal
from roundtrip.text.packing import known

LAYERS = (
    "text",
    "message",
    "upload",
    "bundle",
    "security",
    "segments",
    "control",
    "repeats",
    "unfinished",
)
"""In the order of a block; text as it went, packed or not."""


class Air:
    """Counts texts; the agent counts the rest."""

    def __init__(self) -> None:
        self._raw = {"up": 0, "down": 0}
        self._packed = {"up": 0, "down": 0}

    def asked(self, question: Question, payload: bytes, *, named: bool) -> None:
        """A question goes up in a bundle of its own."""
        bare = codec.encode(replace(question, text=""), named=named, unpacks=known())
        self._count("up", question.text, len(payload) - len(bare))

    def told(self, reply: Answer | Part | Refusal, payload: bytes) -> None:
        """A reply is here."""
        if isinstance(reply, Refusal):
            text, bare = reply.detail, codec.encode(replace(reply, detail=""))
        else:
            text, bare = reply.text, codec.encode(replace(reply, text=""))
        self._count("down", text, len(payload) - len(bare))

    def _count(self, way: str, text: str, packed: int) -> None:
        self._raw[way] += len(text.encode())
        self._packed[way] += packed

    def table(self, agent: BundleAgent, upload_bytes: int) -> dict[str, dict[str, int]]:
        """Bytes by layer, their total, and what the texts would be unpacked.

        Args:
            agent: has counted them.
            upload_bytes: pieces of uploads that have been given to it.
        """
        return {
            "up": self._layers("up", agent.sent, upload_bytes),
            "down": self._layers("down", agent.received, 0),
        }

    def _layers(self, way: str, tally: Tally, upload_bytes: int) -> dict[str, int]:
        text = min(self._packed[way], tally.payload)
        upload = min(upload_bytes, tally.payload - text)
        sizes = (
            text,
            tally.payload - text - upload,
            upload,
            tally.bundle,
            tally.security,
            tally.segments,
            tally.control,
            tally.repeats,
            tally.unfinished,
        )
        layers = dict(zip(LAYERS, sizes, strict=True))
        return {**layers, "total": tally.total, "raw_text": self._raw[way]}
