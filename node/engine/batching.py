"""Many questions at once in one context: sequences join and leave at any token.

Each step decodes one token of every sequence that is writing, a draft for some (`lookup.py`), and a
piece of the prompts that wait to be read: small while others write, so that a long prompt does not
hold them up. A prompt's head is taken from what the slot still holds, or from what is kept
(`prefixes.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.engine.chat import THINK_END, Piece, prompt, system_turn
from node.engine.draft_model import DraftModel
from node.engine.grammar import grammar_of
from node.engine.json_close import closed_json
from node.engine.llama import BATCH_TOKENS, MAX_OUTPUTS, Engine, greedy
from node.engine.lookup import MAX_DRAFT, Drafts, Table, learn
from node.engine.prefixes import Head, Prefixes
from node.engine.schema import Node, fault, read_schema
from roundtrip.message import Sampling

BESIDE_NS = 100_000_000
"""How long other sequences may be held up by a piece of a prompt."""
BESIDE_TOKENS = 32
"""The least such a piece has, and the most while the speed is unknown."""
THINK_STOP = (
    "\n\nConsidering the limited time by the user, "
    "I have to give the solution based on the thinking directly now.\n"
)
"""What Qwen's own recipe puts in when the thinking budget is spent, before `</think>`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question for the engine."""

    id: int
    text: str
    system: str
    max_tokens: int
    """Of thinking and answer together."""
    sampling: Sampling
    thinking: bool
    think_tokens: int = 1 << 20
    """After so many the thinking is ended for the model."""
    alone: bool = False
    """No other sequence may run beside it: it may be what crashed the engine."""
    schema: str = ""
    """JSON Schema that the answer keeps to; empty for none."""


@dataclass(frozen=True, slots=True)
class Started:
    """The engine has begun with a question."""

    id: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The prompt is read, and the first token of the answer there."""

    id: int


@dataclass(frozen=True, slots=True)
class Wrote:
    """There is so much of an answer."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the model wrote."""

    id: int
    text: str
    finish_reason: str
    """`stop`: the model ended; `length`: it was cut at its limit; `deadline`: `cut` ended it."""
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the prompt, taken from a kept head."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine cannot do this one."""

    id: int
    reason: str
    detail: str


Event = Started | FirstToken | Wrote | Done | Refused


@dataclass(slots=True)
class _Slot:
    request: Request
    sequence: int
    prompt_tokens: int
    head: list[int]
    """The beginning of the prompt, to be kept once it is read; empty where it is kept."""
    limit: int
    feed: list[int]
    """To be put into the context next; the last one's logits are wanted."""
    position: int
    """Tokens that the context holds of this sequence."""
    cached: int
    sampler: Any
    last: list[int]
    """The last tokens of the sequence, four or more; empty where there are no drafts."""
    said: list[int]
    """All tokens of the sequence, for a model that drafts."""
    table: Table
    think_left: int
    """Tokens until the thinking is ended; -1 when it is over."""
    schema: Node | None
    """What the answer keeps to; None for nothing."""
    grammar: str
    """Of the schema, while the answer has not begun."""
    written: list[int] = field(default_factory=list)
    answer_from: int = 0
    """Where in `written` the answer begins."""
    writing: bool = False
    draft: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    """Where each token of the draft is from."""
    told_ns: int = 0
    """When its answer was last told of."""


class Batcher:
    """Runs requests on an engine.

    Args:
        engine: has as many sequences as there may be questions at once.
        prefixes: the kept heads.
        clock_ns: what measures a step.
        drafts: whether to speculate.
        document: text that every system prompt ends with.
        speed: ns per token of a prompt, and of a decode of one token, as first known.
        model: a smaller one that drafts where nothing is known from before.
        tell_ns: how often an answer is told of while it is written; 0 for only when it is done.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        prefixes: Prefixes,
        clock_ns: Callable[[], int],
        drafts: bool = True,
        document: str = "",
        speed: tuple[float, float] | None = None,
        model: DraftModel | None = None,
        tell_ns: int = 0,
    ) -> None:
        self._engine = engine
        self._prefixes = prefixes
        self._clock_ns = clock_ns
        self._drafts = Drafts()
        self._drafting = drafts
        self._model = model
        self._free: list[tuple[int, Head]] = [
            (sequence, ()) for sequence in range(engine.settings.sequences)
        ]
        """Sequences that nobody uses, and what they still hold."""
        self._waiting: deque[Request] = deque()
        self._slots: list[_Slot] = []
        self._think_end = engine.special[THINK_END]
        self._after_thinking = engine.tokens_of([Piece("\n\n", False)])
        self._stop_thinking = [
            *engine.tokens_of([Piece(THINK_STOP, False), Piece(THINK_END, True)]),
            *self._after_thinking,
        ]
        self._heads: dict[str, list[int]] = {}
        self.steps = 0
        self._document = document
        self._tell_ns = tell_ns
        self.prefill_ns = 0.0
        """Per token of a prompt, a running mean."""
        if speed is not None:
            self.prefill_ns = speed[0]
            self._drafts.plain_step(1, round(speed[1]))

    @property
    def step_ns(self) -> dict[int, float]:
        """Duration of a decode of one token for each of so many sequences, a running mean."""
        return self._drafts.step_ns

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._slots or self._waiting)

    def add(self, request: Request) -> None:
        """Let a request wait for a slot."""
        self._waiting.append(request)

    def set_threads(self, threads: int) -> None:
        """Threads of the engine from the next step on."""
        self._engine.set_threads(threads)

    def cut(self, request_id: int) -> list[Event]:
        """End a request now, with what it has written."""
        for slot in self._slots:
            if slot.request.id == request_id:
                return [self._finish(slot, "deadline")]
        for request in self._waiting:
            if request.id == request_id:
                self._waiting.remove(request)
                return [Done(request_id, "", "deadline", 0, 0, 0)]
        return []

    # -- joining and leaving -----------------------------------------------------------------------

    def admit(self) -> list[Event]:
        """Let waiting requests join while there are sequences for them."""
        events: list[Event] = []
        while self._waiting and self._free:
            request = self._waiting[0]
            alone = request.alone or any(slot.request.alone for slot in self._slots)
            if alone and self._slots:
                break
            self._waiting.popleft()
            events.append(self._join(request))
        return events

    def _prompt(self, request: Request) -> tuple[list[int], list[int]]:
        """What is worth keeping of the prompt, and all of it."""
        head: list[int] = []
        system = "\n\n".join(part for part in (request.system, self._document) if part)
        if system:
            known = self._heads.get(request.system)
            if known is None:
                if len(self._heads) >= 16:
                    self._heads.clear()
                known = self._engine.tokens_of(system_turn(system))
                self._heads[request.system] = known
            head = known
        pieces = prompt(text=request.text, system="", thinking=request.thinking)
        return head, head + self._engine.tokens_of(pieces)

    def _join(self, request: Request) -> Started | Refused:
        head, tokens = self._prompt(request)
        room = self._engine.context - len(tokens)
        if request.thinking:
            room -= len(self._stop_thinking)
        if room < 1:
            detail = f"{len(tokens)} prompt tokens in a context of {self._engine.context}"
            return Refused(request.id, "too_long", detail)
        schema, grammar = None, ""
        drafting = self._drafting and greedy(request.sampling) and not request.schema
        sampler = None
        try:
            if request.schema:
                schema = read_schema(request.schema)
                grammar = grammar_of(schema)
            if request.schema or not greedy(request.sampling):
                at_once = "" if request.thinking else grammar
                sampler = self._engine.new_sampler(request.sampling, at_once)
        except ValueError as error:
            return Refused(request.id, "bad_schema", str(error)[:200])
        sequence, cached = self._sequence_for(tokens)
        table: Table = {}
        if drafting:
            learn((table,), (), tokens)
        self._slots.append(
            _Slot(
                request,
                sequence,
                prompt_tokens=len(tokens),
                head=head if self._prefixes.wants(head) else [],
                limit=min(request.max_tokens, room),
                feed=tokens[cached:],
                position=cached,
                cached=cached,
                sampler=sampler,
                last=tokens[-4:] if drafting and len(tokens) >= 4 else [],
                said=list(tokens) if self._model is not None else [],
                table=table,
                think_left=request.think_tokens if request.thinking else -1,
                schema=schema,
                grammar=grammar if request.thinking else "",
            )
        )
        return Started(request.id)

    def _sequence_for(self, tokens: list[int]) -> tuple[int, int]:
        """A free sequence that begins as these tokens do, and how many of them it holds."""
        found = self._prefixes.longest(tokens)
        best = max(self._free, key=lambda free: _in_common(free[1], tokens))
        held = _in_common(best[1], tokens)
        self._free.remove(best)
        sequence = best[0]
        if found is not None and len(found[0]) > held:
            head, state = found
            self._engine.forget(sequence)
            if self._engine.restore(sequence, state, len(head)):
                return sequence, len(head)
            self._prefixes.drop(head)
            held = 0
        self._engine.forget(sequence, held)
        return sequence, held

    def _finish(self, slot: _Slot, reason: str) -> Done | Refused:
        if slot.sampler is not None:
            self._engine.free_sampler(slot.sampler)
        kept = self._heads.get(slot.request.system, [])
        held = tuple(kept) if slot.position >= len(kept) else ()
        self._engine.forget(slot.sequence, len(held))
        self._free.append((slot.sequence, held))
        self._slots.remove(slot)
        text = self._text(slot)
        if slot.schema is not None and text:
            if reason != "stop":
                text = closed_json(text)
            elif found := fault(slot.schema, text):
                detail = f"it does not keep to its schema: {found}"
                return Refused(slot.request.id, "no_answer", detail)
        return Done(
            slot.request.id, text, reason, slot.prompt_tokens, len(slot.written), slot.cached
        )

    def _text(self, slot: _Slot) -> str:
        if slot.think_left >= 0:
            return ""
        return self._engine.text_of(slot.written[slot.answer_from :]).strip()

    # -- one step ----------------------------------------------------------------------------------

    def step(self) -> list[Event]:
        """Decode once; what came of it."""
        events: list[Event] = []
        engine, slots = self._engine, self._slots
        if not slots:
            return events
        writing = [slot for slot in slots if slot.writing]
        count = drafted = 0
        pieces: list[tuple[_Slot, int, int]] = []
        for slot in writing:
            feed = slot.feed
            pieces.append((slot, count, len(feed)))
            if len(feed) == 1:
                engine.put_one(count, feed[0], slot.position, slot.sequence)
                count += 1
                if slot.last:
                    drafted += self._draft(slot, count, len(writing))
                    count += len(slot.draft)
            else:
                engine.put(count, feed, slot.position, slot.sequence, wanted=True)
                count += len(feed)
        read = 0
        room = min(self._beside(), BATCH_TOKENS - count) if writing else BATCH_TOKENS
        for slot in slots:
            if not slot.writing and read < room:
                piece = slot.feed[: room - read]
                if slot.position < len(slot.head):  # the state is taken where the head ends
                    piece = piece[: len(slot.head) - slot.position]
                last = len(piece) == len(slot.feed)
                engine.put(count, piece, slot.position, slot.sequence, wanted=last)
                pieces.append((slot, count, len(piece)))
                count += len(piece)
                read += len(piece)
        begin_ns = self._clock_ns()
        engine.decode(count)
        for slot, start, length in pieces:
            slot.position += length
            row = start + length - 1
            events += self._written(slot, row) if slot.writing else self._read(slot, length, row)
        now_ns = self._clock_ns()
        self._measure(now_ns - begin_ns, len(writing), drafted, read, count)
        return events + self._told(now_ns) if self._tell_ns else events

    def _told(self, now_ns: int) -> list[Event]:
        """What there is of the answers that were not told of for long."""
        events: list[Event] = []
        for slot in self._slots:
            if slot.writing and now_ns - slot.told_ns >= self._tell_ns:
                # A character may still be in pieces, and the space after it may be the last.
                text = self._text(slot).rstrip("\ufffd").rstrip()
                if slot.told_ns and text:
                    events.append(Wrote(slot.request.id, text))
                slot.told_ns = now_ns
        return events

    def _draft(self, slot: _Slot, start: int, sequences: int) -> int:
        """Put a draft behind the token of a slot; its length."""
        most = min(MAX_DRAFT, slot.limit - len(slot.written) - 1, MAX_OUTPUTS // sequences - 1)
        slot.draft, slot.kinds = self._drafts.draft(slot.table, slot.last, most, sequences)
        costs = self._drafts.costs(sequences)
        if self._model is not None and not slot.draft and most > 0 and costs is not None:
            slot.draft = self._model.draft(slot.sequence, slot.said, most, sequences, costs)
        for index, token in enumerate(slot.draft):
            self._engine.put_one(start + index, token, slot.position + 1 + index, slot.sequence)
        return len(slot.draft)

    def _written(self, slot: _Slot, row: int) -> list[Event]:
        """Take the tokens after a slot's last one: one, and as many of the draft as were right."""
        engine, draft = self._engine, slot.draft
        new: list[int] = []
        reason = None
        for index in range(len(draft) + 1):
            token = (
                engine.likeliest(row + index)
                if slot.sampler is None
                else engine.sample(slot.sampler, row + index)
            )
            reason = self._take(slot, token)
            new.append(token)
            over = reason is not None or slot.think_left == 0
            if over or index == len(draft) or token != draft[index]:
                break
        if draft:
            accepted = len(new) - 1
            if slot.kinds:
                self._drafts.checked(slot.kinds, accepted)
            elif self._model is not None:
                self._model.checked(len(draft), accepted)
            slot.position += accepted
            if accepted < len(draft):
                engine.forget(slot.sequence, slot.position)
            slot.draft = []
        if reason is None and new[-1] in engine.ends:
            new.pop()
        if slot.last:
            self._follow(slot, new)
        if reason is not None:
            return [self._finish(slot, reason)]
        slot.feed = new[-1:]
        if slot.think_left == 0:
            slot.think_left = -1
            slot.answer_from = len(slot.written)
            self._put_in(slot, self._stop_thinking)
            self._begin_answer(slot)
        elif slot.grammar and slot.think_left < 0:
            self._put_in(slot, self._after_thinking)
            self._begin_answer(slot)
        return []

    def _follow(self, slot: _Slot, new: list[int]) -> None:
        self._drafts.said(slot.table, slot.last, new)
        slot.said += new
        slot.last = [*slot.last, *new][-4:]

    def _take(self, slot: _Slot, token: int) -> str | None:
        """Note a token that the model wrote; why it was the last one, or None.

        An end in the middle of a thought ends the thought: the answer is still to come.
        """
        if token in self._engine.ends:
            if slot.think_left < 0:
                return "stop"
            slot.think_left = 0
            return None
        slot.written.append(token)
        if slot.think_left >= 0:
            if token == self._think_end:
                slot.think_left = -1
                slot.answer_from = len(slot.written)
            else:
                slot.think_left = max(0, slot.think_left - 1)
        return "length" if len(slot.written) >= slot.limit else None

    def _put_in(self, slot: _Slot, tokens: Sequence[int]) -> None:
        """Let the model read what it did not write."""
        slot.feed = [*slot.feed, *tokens]
        if slot.last:
            self._follow(slot, list(tokens))

    def _begin_answer(self, slot: _Slot) -> None:
        """From the answer on its grammar holds."""
        if slot.grammar:
            self._engine.free_sampler(slot.sampler)
            slot.sampler = self._engine.new_sampler(slot.request.sampling, slot.grammar)
            slot.grammar = ""

    def _read(self, slot: _Slot, length: int, row: int) -> list[Event]:
        """A piece of the prompt is read; after the last one there is a first token."""
        slot.feed = slot.feed[length:]
        if slot.head and slot.position == len(slot.head):
            self._prefixes.keep(slot.head, self._engine.state(slot.sequence))
            slot.head = []
        if slot.feed:
            return []
        slot.writing = True
        return [FirstToken(slot.request.id), *self._written(slot, row)]

    def _beside(self) -> int:
        if not self.prefill_ns:
            return BESIDE_TOKENS
        return max(BESIDE_TOKENS, int(BESIDE_NS / self.prefill_ns))

    def _measure(self, duration_ns: int, writing: int, drafted: int, read: int, count: int) -> None:
        self.steps += 1
        if read:
            if not writing:
                each_ns = duration_ns / read
                self.prefill_ns += (0.3 if self.prefill_ns else 1.0) * (each_ns - self.prefill_ns)
        elif drafted:
            self._drafts.drafted_step(writing, drafted, duration_ns)
        elif count == writing:
            self._drafts.plain_step(writing, duration_ns)


def _in_common(held: Head, tokens: Sequence[int]) -> int:
    """How many tokens both begin with, if one is left to be read."""
    fits = len(held) < len(tokens) and tuple(tokens[: len(held)]) == held
    return len(held) if fits else 0


def answer_all(batcher: Batcher, requests: Sequence[Request]) -> dict[int, Done | Refused]:
    """Run requests to their end; what came of each, by its id."""
    for request in requests:
        batcher.add(request)
    found: dict[int, Done | Refused] = {}
    while batcher.busy:
        for event in [*batcher.admit(), *batcher.step()]:
            if isinstance(event, Done | Refused):
                found[event.id] = event
    return found
