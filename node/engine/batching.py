"""Many questions at once in one context: sequences join and leave at any token.

Each step decodes one token of every sequence that is writing, a draft for some (`speculation.py`),
and a piece of the prompts that wait to be read: small while others write, so that a long prompt
does not hold them up. Who joins and leaves is for `admission.py` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from node.engine.admission import Admission, Slot
from node.engine.chat import THINK_END
from node.engine.costs import Costs, Width
from node.engine.draft_model import DraftModel
from node.engine.llama import BATCH_TOKENS, MAX_OUTPUTS, Engine
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Event, FirstToken, NotFinite, Refused, Request, Wrote
from node.engine.speculation import Said, Speculation

BESIDE_NS = 100_000_000
"""How long other sequences may be held up by a piece of a prompt."""
BESIDE_TOKENS = 32
"""The least such a piece has, and the most while the speed is unknown."""


class Batcher:
    """Runs requests on an engine.

    Args:
        engine: has as many sequences as there may be questions at once.
        prefixes: the kept heads.
        clock_ns: what measures a step.
        drafts: whether to speculate.
        system: the system prompt of requests that bring none.
        document: text that every system prompt ends with.
        prefill_ns: per token of a prompt, as first known; 0: unknown.
        costs: what decodes take, as first known.
        fixed_width: always as many questions at once as the engine has sequences; else as many as
            is fastest in all.
        model: a smaller one that drafts where nothing is known from before.
        tell_ns: how often an answer is told of while it is written; 0 for only when it is done.
        holds: as of `Admission`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        prefixes: Prefixes,
        clock_ns: Callable[[], int],
        drafts: bool = True,
        system: str = "",
        document: str = "",
        prefill_ns: float = 0.0,
        costs: Costs | None = None,
        fixed_width: bool = True,
        model: DraftModel | None = None,
        tell_ns: int = 0,
        holds: bool = True,
    ) -> None:
        self._engine = engine
        self._prefixes = prefixes
        self._clock_ns = clock_ns
        self._costs = costs or Costs()
        self._width = Width(self._costs, engine.settings.sequences, fixed=fixed_width)
        self._speculation = Speculation(self._costs, clock_ns, on=drafts, model=model)
        self._admission = Admission(
            engine, prefixes, self._speculation, system=system, document=document, holds=holds
        )
        self._slots = self._admission.slots
        self._think_end = engine.special[THINK_END]
        self._made = 0
        """Tokens that came of this step."""
        self.steps = 0
        self._tell_ns = tell_ns
        self.prefill_ns = prefill_ns
        """Per token of a prompt, a running mean."""

    @property
    def step_ns(self) -> dict[int, float]:
        """Duration of a decode of one token for each of so many sequences, a running mean."""
        return self._costs.step_ns

    @property
    def width(self) -> int:
        """How many questions at once are fastest in all."""
        return self._width.now

    @property
    def drafting(self) -> bool:
        """Whether drafts are tried now: they are while they pay."""
        return self._speculation.open

    @property
    def draft_gain_ns(self) -> float:
        """What drafts have saved so far; less than nothing where they cost more."""
        return self._speculation.gained_ns

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self._admission.busy

    @property
    def running(self) -> list[int]:
        """The requests in the context."""
        return [slot.request.id for slot in self._slots]

    def add(self, request: Request) -> None:
        """Let a request wait for a slot."""
        self._admission.add(request)

    def set_threads(self, threads: int) -> None:
        """Threads of the engine from the next step on."""
        self._engine.set_threads(threads)

    def cut(self, request_id: int) -> list[Event]:
        """End a request now, with what it has written."""
        ended = self._admission.cut(request_id)
        return [] if ended is None else [ended]

    def withdraw(self, keep: Container[int]) -> list[Request]:
        """Take all questions out of the context but some, and forget what was read."""
        return self._admission.withdraw(keep)

    def probe(self, tokens: Sequence[int], count: int) -> tuple[list[int], Any]:
        """What the model says to a prompt, and the last logits; while there is nothing to do."""
        engine, free = self._engine, self._admission.free
        sequence, _ = free.pop()
        engine.forget(sequence)
        prompt = [token % engine.vocab_size for token in tokens]
        engine.put(0, prompt, 0, sequence, wanted=True)
        engine.decode(len(tokens))
        said = [engine.likeliest(len(tokens) - 1)]
        while len(said) < count:
            engine.put_one(0, said[-1], len(tokens) + len(said) - 1, sequence)
            engine.decode(1)
            said.append(engine.likeliest(0))
        logits = engine.logits(0).copy()
        engine.forget(sequence)
        free.append((sequence, ()))
        return said, logits

    def flip_cache(self, at: float) -> None:
        """Invert a bit of the cache: 0 is the beginning of the first sequence's, 1 the end of the
        last one's. Nothing happens where it holds nothing that is in use."""
        sequence, place = divmod(at * self._engine.settings.sequences, 1)
        for slot in self._slots:
            if slot.sequence == int(sequence) and place < slot.position / self._engine.context:
                whole = self._engine.state(slot.sequence)
                state = bytearray(whole)
                bit = int(place * self._engine.context / slot.position * len(state) * 8)
                state[bit // 8] ^= 1 << bit % 8
                if not self._engine.restore(slot.sequence, bytes(state), slot.position):
                    # It hit what says how much there is, which the cache has not.
                    self._engine.restore(slot.sequence, whole, slot.position)

    def admit(self) -> list[Event]:
        """Let waiting requests join while there are sequences for them."""
        return [*self._admission.admit(self._width.now)]

    @property
    def resting(self) -> bool:
        """There is nothing to do."""
        return not self.busy

    def rest(self) -> None:
        """Nothing is done then."""

    def step(self) -> list[Event]:
        """Decode once; what came of it.

        Raises:
            NotFinite: of some question; what came of the others is with it.
        """
        events: list[Event] = []
        damaged = False
        engine, slots = self._engine, self._slots
        if not slots:
            return events
        begin_ns = self._clock_ns()
        writing = [slot for slot in slots if slot.writing]
        count = drafted = self._made = 0
        expected = 0.0
        pieces: list[tuple[Slot, int, int]] = []
        for slot in writing:
            pieces.append((slot, count, 1))
            engine.put_one(count, slot.feed[0], slot.position, slot.sequence)
            count += 1
            if slot.said is not None:
                expected += self._draft(slot.said, slot, count, len(writing), drafted, expected)
                drafted += len(slot.said.draft)
                count += len(slot.said.draft)
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
        engine.decode(count)
        for slot, start, length in pieces:
            slot.position += length
            row = start + length - 1
            try:
                took = self._written(slot, row) if slot.writing else self._read(slot, length, row)
            except NotFinite:
                damaged = True
            else:
                events += took
        if damaged:
            raise NotFinite(events)
        now_ns = self._clock_ns()
        self._measure(now_ns - begin_ns, len(writing), drafted, read)
        return events + self._told(now_ns) if self._tell_ns else events

    def _told(self, now_ns: int) -> list[Event]:
        """What there is of the answers that were not told of for long."""
        events: list[Event] = []
        for slot in self._slots:
            if slot.writing and now_ns - slot.told_ns >= self._tell_ns:
                # A character may still be in pieces, and the space after it may be the last.
                text = self._admission.text(slot).rstrip("\ufffd").rstrip()
                if slot.told_ns and text:
                    events.append(Wrote(slot.request.id, text))
                slot.told_ns = now_ns
        return events

    def _draft(
        self, said: Said, slot: Slot, start: int, sequences: int, extra: int, expected: float
    ) -> float:
        """Put a draft behind the token of a slot, if one pays; how much of it is expected to be
        right."""
        most = min(slot.limit - len(slot.written), MAX_OUTPUTS // sequences) - 1
        right = self._speculation.draft(said, slot.sequence, most, sequences, extra, expected)
        for index, token in enumerate(said.draft):
            self._engine.put_one(start + index, token, slot.position + 1 + index, slot.sequence)
        return right

    def _written(self, slot: Slot, row: int) -> list[Event]:
        """Take the tokens after a slot's last one: one, and as many of the draft as were right."""
        engine, said = self._engine, slot.said
        draft = said.draft if said is not None else []
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
        self._made += len(new)
        if said is not None and draft:
            accepted = len(new) - 1
            self._speculation.checked(said, accepted)
            slot.position += accepted
            if accepted < len(draft):
                engine.forget(slot.sequence, slot.position)
        if reason is None and new[-1] in engine.ends:
            new.pop()
        if said is not None:
            self._speculation.follow(said, new)
        if reason is not None:
            self._width.answered()
            return [self._admission.finish(slot, reason)]
        slot.feed = new[-1:]
        if slot.think_left == 0:
            slot.think_left = -1
            slot.answer_from = len(slot.written)
            self._put_in(slot, self._admission.stop_thinking)
            self._begin_answer(slot)
        elif slot.grammar and slot.think_left < 0:
            self._put_in(slot, self._admission.after_thinking)
            self._begin_answer(slot)
        return []

    def _take(self, slot: Slot, token: int) -> str | None:
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

    def _put_in(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Let the model read what it did not write, like a piece of its prompt."""
        slot.feed = [*slot.feed, *tokens]
        slot.writing = False
        if slot.said is not None:
            self._speculation.follow(slot.said, tokens)

    def _begin_answer(self, slot: Slot) -> None:
        """From the answer on its grammar holds."""
        if slot.grammar:
            self._engine.free_sampler(slot.sampler)
            slot.sampler = self._engine.new_sampler(slot.request.sampling, slot.grammar)
            slot.grammar = ""

    def _read(self, slot: Slot, length: int, row: int) -> list[Event]:
        """A piece of what is to be read is; after the last one the model writes."""
        slot.feed = slot.feed[length:]
        if slot.head and slot.position == len(slot.head):
            self._prefixes.keep(slot.head, self._engine.state(slot.sequence))
            slot.head = []
        if slot.feed:
            return []
        first = [] if slot.begun else [FirstToken(slot.request.id)]
        slot.writing = slot.begun = True
        return [*first, *self._written(slot, row)]

    def _beside(self) -> int:
        if not self.prefill_ns:
            return BESIDE_TOKENS
        return max(BESIDE_TOKENS, int(BESIDE_NS / self.prefill_ns))

    def _measure(self, duration_ns: int, writing: int, drafted: int, read: int) -> None:
        self.steps += 1
        if read:
            if not writing:
                each_ns = duration_ns / read
                self.prefill_ns += (0.3 if self.prefill_ns else 1.0) * (each_ns - self.prefill_ns)
        elif writing:
            self._speculation.stepped(duration_ns, writing, drafted, self._made)


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
