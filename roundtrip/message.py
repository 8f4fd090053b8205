"""What ground and node say to each other; `codec` has the bytes.

Times on the node travel as durations since `delivered`, so the two clocks need not agree; where
they do, `delivered` on the node's tells which frame of the link's log brought the question.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from roundtrip.text.packing import unpack

MAX_TEXT_BYTES = 64 * 1024
"""Longest question, system prompt or answer, in UTF-8 bytes; checked on the ground and again on the
node."""
MAX_MESSAGE_BYTES = 4 * MAX_TEXT_BYTES
MAX_TURNS = 1000
"""Of a conversation."""
MAX_SEE = 16
"""Things that one question wants to see, and tools that it may use."""
MAX_SIGHTS = 64
"""That one answer tells of."""
MAX_NAME_BYTES = 200
DIGEST_HEX = 16
"""Hex digits of a model's SHA-256 that travel."""
"""Of one of them."""

DIGEST_BYTES = 8
MODEL_BYTES = 2
"""Of a model's SHA-256, in an answer."""
SIGHT_BYTES = 4
NAME_BYTES = 4
TICK_US = 100
"""Durations on the node are told in steps of so much, downwards: processes are no more punctual."""
FINISH_REASONS = ("stop", "length", "deadline")
REASONS = (
    "queue_full",
    "too_long",
    "bad_schema",
    "no_answer",
    "no_time",
    "no_contact_before_deadline",
    "no_energy",
    "quarantined",
    "engine_failed",
    "cancelled",
    "not_seen",
)
"""Of refusals; their order is their number on the wire: new ones go to the end."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    seed: int = 0


THINKING = ("off", "on", "auto")
"""`auto` thinks only where there is time for it."""
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What many questions have in common: it goes up with one of them, and has a short name from
    then on."""

    system: str
    """System prompt; empty for none."""
    schema: str
    """JSON Schema that the answer keeps to; empty for none."""
    max_tokens: int
    sampling: Sampling
    """With the seed of the question with index 0; the others count from there."""
    thinking: str
    """One of `THINKING`."""
    think_tokens: int
    texts: tuple[int, ...] | None = None
    """How the ground can unpack texts, see `roundtrip.text.packing`; None for as the node can."""
    thoughts: bool = False
    """What the model thought comes down with the answer."""
    see: tuple[str, ...] = ()
    """What the node shows the model before the question: `telemetry`, `telemetry.history`, or a
    file of its camera."""
    tools: tuple[str, ...] = ()
    """What the model may call, as far as the node has it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said before in a conversation: a question and its answer."""

    text: str
    """Empty where the conversation began with an answer."""
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question, ground to node."""

    question_id: int
    """Unique over all runs, see `question_id`; 64 bits."""
    text: str
    system: str
    """System prompt; empty for none."""
    max_tokens: int
    sampling: Sampling
    thinking: str
    """One of `THINKING`."""
    remaining_ms: int
    """Budget left when the question was submitted."""
    think_tokens: int = 0
    """Of thinking, at most; 0: a share of what there is time for."""
    priority: int = 1
    """0 bulk, 1 normal, 2 expedited."""
    schema: str = ""
    """JSON Schema that the answer keeps to; empty for none."""
    turns: tuple[Turn, ...] = ()
    """What was said before."""
    after: int | None = None
    """The question of the same run whose turns, with it and its answer, these are; None where there
    is none, or the node does not have it."""
    thoughts: bool = False
    """As in `Settings`."""
    see: tuple[str, ...] = ()
    """As in `Settings`."""
    tools: tuple[str, ...] = ()
    """As in `Settings`."""

    @property
    def names(self) -> tuple[str, ...]:
        """What a `Sight` counts in."""
        return (*self.see, *self.tools)

    @property
    def size_bytes(self) -> int:
        """Of what the engine reads besides the system prompt, UTF-8."""
        said = "".join(turn.text + turn.answer for turn in self.turns)
        return len(said.encode()) + len(self.text.encode())

    @property
    def settings(self) -> Settings:
        """What it has in common with others."""
        seed = (self.sampling.seed - index_of(self.question_id)) & SEED_MASK
        return Settings(
            self.system,
            self.schema,
            self.max_tokens,
            replace(self.sampling, seed=seed),
            self.thinking,
            self.think_tokens,
            thoughts=self.thoughts,
            see=self.see,
            tools=self.tools,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it comes: its text still packed, its settings perhaps only by name."""

    question_id: int
    name: bytes
    """Of its settings."""
    settings: Settings | None
    """Where they came with it."""
    value: str | bytes
    remaining_ms: int
    priority: int
    values: tuple[str | bytes, ...] = ()
    """Texts and answers of its turns, in turn."""
    after: int | None = None
    """As in `Question`; without values the node knows the turns."""

    def question(self, settings: Settings, turns: tuple[Turn, ...] = ()) -> Question:
        """The question with its settings, and the turns that it has not with it.

        Raises:
            UnknownDictionary: this end cannot unpack it.
            BadMessage: it has no text, or too much of it.
        """
        index = index_of(self.question_id)
        sampling = settings.sampling
        left, said = MAX_TEXT_BYTES, []
        for value in (*self.values, self.value):
            said.append(unpack(value, left))
            left -= len(said[-1].encode())
        *before, text = said
        own = tuple(Turn(*pair) for pair in zip(before[::2], before[1::2], strict=True))
        return Question(
            self.question_id,
            text,
            settings.system,
            settings.max_tokens,
            replace(sampling, seed=(sampling.seed + index) & SEED_MASK),
            settings.thinking,
            self.remaining_ms,
            settings.think_tokens,
            self.priority,
            settings.schema,
            own or turns,
            self.after,
            settings.thoughts,
            settings.see,
            settings.tools,
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The node has a question that it cannot read, and has dropped it."""

    question_id: int
    what: str
    """One of `UNREADABLE`."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody on the ground waits for a question any more."""

    question_id: int


UNREADABLE = ("settings", "text", "turns", "damaged")
"""A name of settings that it does not know; a text that it cannot unpack; an earlier question that
it does not have; one that it had, and that its memory or disk has damaged."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a model was shown on board."""

    what: int
    """Its place in the question's `see`, and then in its `tools`."""
    age_ms: int
    """How old it was when the answer was finished."""
    digest: bytes
    """The first `SIGHT_BYTES` of its SHA-256."""
    size: int
    """Bytes that it would have taken on the link, packed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, node to ground; or what is left of it after the parts that the ground has
    acknowledged."""

    question_id: int
    text: str
    finish_reason: str
    """`stop`, `length`, or `deadline` (cut short to be on time)."""
    prompt_tokens: int
    output_tokens: int
    started_us: int
    """Since delivered."""
    first_token_us: int
    """Since delivered."""
    finished_us: int
    """Since delivered."""
    delivered_us: int
    """The plan's clock then, as the node reads it, modulo `CLOCK_US`."""
    rss_peak_bytes: int
    """Peak resident memory of node and engine together, in whole MiB; 0 where it was not
    measured."""
    spent_mj: int = 0
    """Energy that the engine took for it above idling, mJ; 0 without a battery."""
    start: int = 0
    """UTF-8 bytes of the answer that are in those parts."""
    digest: bytes = b""
    """`digest_of` the whole answer; empty where all of it is here."""
    thoughts: str = ""
    """What the model thought, where that was asked for."""
    exposed: bool = False
    """The weights may have been damaged meanwhile, and there was no time to answer again."""
    seen: tuple[Sight, ...] = ()
    """What the model was shown, in that order."""
    called_us: int | None = None
    """Since delivered: when the last tool that the model called had answered; None where it called
    none."""
    model: bytes = b""
    """The first `MODEL_BYTES` of its SHA-256, where there are uploads; empty: what the node says
    it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer that is still being written, node to ground."""

    question_id: int
    start: int
    """UTF-8 bytes of the answer before it."""
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The node will not answer, and says why."""

    question_id: int
    reason: str
    """One of `REASONS`."""
    detail: str
    refused_us: int
    """Since delivered."""
    delivered_us: int
    """As in `Answer`."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the node does; None where its machine does not say."""

    rss_bytes: int | None = None
    """Resident memory of node and engine together, now."""
    major_faults: int | None = None
    """Pages that the engine had to fetch from the disk, since it started."""
    throttled_ms: int | None = None
    """Time that its CPU quota kept the engine waiting, since it started."""
    temperature_mc: int | None = None
    """Of the processor, in thousandths of a degree Celsius; may be below zero."""
    firmware_flags: int | None = None
    """`vcgencmd get_throttled` of a Raspberry Pi: bits 0 to 3 now, 16 to 19 since it was started:
    under-voltage, frequency capped, throttled, soft temperature limit."""
    power_mw: int | None = None
    """What the board draws."""
    charge_permille: int | None = None
    """Of the battery."""
    threads: int | None = None
    """Threads that heat leaves the engine; 0 while it pauses."""
    mended: int | None = None
    """Damaged tensors of the weights that were read again, since the node started."""
    engine_mb: int | None = None
    """Memory that the engine may have, in MB of 10^6 bytes."""
    room_mb: int | None = None
    """Room for uploads, likewise."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the node is, sent when its engine comes up; with vitals also how it does, sent as a
    beacon."""

    model: str
    quantization: str
    context: int
    threads: int
    engine_restarts: int
    vitals: Vitals | None = None
    texts: tuple[int, ...] = ()
    """How the node can unpack texts."""
    sha256: str = ""
    """The first DIGEST_HEX of the model's SHA-256, and of its adapter's after it; empty where a
    server has it."""

    def after(self, before: Health | None) -> Health:
        """This, with the vitals that were said before where it has none."""
        if self.vitals is not None or before is None:
            return self
        return replace(self, vitals=before.vitals)


Sent = Question | Answer | Part | Refusal | Health | Unreadable | Cancel
Received = Asked | Answer | Part | Refusal | Health | Unreadable | Cancel

RUN_BITS, INDEX_BITS = 32, 24
SEED_MASK = (1 << 32) - 1

CLOCK_US = 1 << 32
"""The plan's clock travels modulo 71.6 minutes: that is four bytes, and tells frames apart."""


def clipped(text: str) -> tuple[str, bool]:
    """A text cut to what a message may carry, and whether it was cut."""
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text, False
    return encoded[:MAX_TEXT_BYTES].decode(errors="ignore"), True


def question_id(run_id: int, index: int) -> int:
    """The id of a run's question.

    Args:
        run_id: RUN_BITS.
        index: INDEX_BITS, counts the run's questions.
    """
    return (run_id << INDEX_BITS) | index


def index_of(question_id: int) -> int:
    """The index in a question's id."""
    return question_id & ((1 << INDEX_BITS) - 1)


def digest_of(text: bytes) -> bytes:
    """By which an answer is told from another."""
    return hashlib.sha256(text).digest()[:DIGEST_BYTES]
