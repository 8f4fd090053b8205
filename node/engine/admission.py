"""Which questions are in the context: how they join, with what they bring, and how they leave.

A prompt's head is taken from what a free sequence still holds, or from what is kept
(`prefixes.py`). Where an answer keeps to a schema, a whole one is checked against it here, and one
that was cut is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.engine.chat import THINK_END, THINK_START, Piece, prompt, system_turn
from node.engine.grammar import grammar_of
from node.engine.json_close import closed_json
from node.engine.llama import Engine, greedy
from node.engine.prefixes import Head, Prefixes
from node.engine.requests import Done, Refused, Request, Started
from node.engine.schema import Node, fault, read_schema
from node.engine.speculation import Said, Speculation

MAX_SYSTEMS = 16
"""System prompts whose tokens are remembered."""
THINK_STOP = (
    "\n\nConsidering the limited time by the user, "
    "I have to give the solution based on the thinking directly now.\n"
)
"""What Qwen's own recipe puts in when the thinking budget is spent, before `</think>`."""


@dataclass(slots=True)
class Slot:
    """A question in the context."""

    request: Request
    sequence: int
    prompt: list[int]
    head: list[int]
    """The beginning of the prompt, to be kept once it is read; empty where it is kept."""
    limit: int
    feed: list[int]
    """To be put into the context next; the last one's logits are wanted."""
    position: int
    """Tokens that the context holds of this sequence."""
    cached: int
    sampler: Any
    said: Said | None
    """For guesses of what comes next; None where there are none."""
    think_left: int
    """Tokens until the thinking is ended; -1 when it is over."""
    schema: Node | None
    """What the answer keeps to; None for nothing."""
    grammar: str
    """Of the schema, while the answer has not begun."""
    written: list[int] = field(default_factory=list)
    answer_from: int = 0
    """Where in `written` the answer begins."""
    begun: bool = False
    """Its first token is there."""
    writing: bool = False
    """There is one token to be fed; otherwise they are read piece by piece."""
    told_ns: int = 0
    """When its answer was last told of."""


class Admission:
    """The questions that wait, and the slots of those that run.

    Args:
        engine: has as many sequences as there may be questions at once.
        prefixes: the kept heads.
        speculation: guesses what greedy answers will say.
        system: the system prompt of requests that bring none.
        document: text that every system prompt ends with.
        holds: sequences hold what was read for the questions after; else only what has a checksum
            is used again.
    """

    def __init__(
        self,
        engine: Engine,
        prefixes: Prefixes,
        speculation: Speculation,
        *,
        system: str = "",
        document: str = "",
        holds: bool,
    ) -> None:
        self._engine = engine
        self._prefixes = prefixes
        self._system = system
        self._document = document
        self._speculation = speculation
        self._holds = holds
        self._waiting: deque[Request] = deque()
        self._heads: dict[tuple[str, str], list[int]] = {}
        self.slots: list[Slot] = []
        self.free: list[tuple[int, Head]] = [
            (sequence, ()) for sequence in range(engine.settings.sequences)
        ]
        """Sequences that nobody uses, and what they still hold."""
        self.after_thinking = engine.tokens_of([Piece("\n\n", False)])
        """What stands between a thought and the answer."""
        self.stop_thinking = [
            *engine.tokens_of([Piece(THINK_STOP, False), Piece(THINK_END, True)]),
            *self.after_thinking,
        ]
        """What ends a thought for the model; a prompt with thinking leaves room for it."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.slots or self._waiting)

    def add(self, request: Request) -> None:
        """Let a request wait for a slot."""
        self._waiting.append(request)

    def cut(self, request_id: int) -> Done | Refused | None:
        """End a request now, with what it has written; None where there is none."""
        for slot in self.slots:
            if slot.request.id == request_id:
                return self.finish(slot, "deadline")
        for request in self._waiting:
            if request.id == request_id:
                self._waiting.remove(request)
                return Done(request_id, "", "deadline", 0, 0, 0)
        return None

    def withdraw(self, keep: Container[int]) -> list[Request]:
        """Take all questions out of the context but some, and forget whatever the model has read:
        none of it may be right."""
        taken = [slot for slot in self.slots if slot.request.id not in keep]
        for slot in taken:
            self.finish(slot, "withdrawn")
        self._prefixes.clear()
        for sequence, _ in self.free:
            self._engine.forget(sequence)
        self.free = [(sequence, ()) for sequence, _ in self.free]
        return [slot.request for slot in taken]

    def admit(self, most: int) -> list[Started | Refused]:
        """Let waiting requests join while there are sequences for them, and fewer than `most`
        run."""
        events: list[Started | Refused] = []
        while self._waiting and self.free and len(self.slots) < most:
            request = self._waiting[0]
            alone = request.alone or any(slot.request.alone for slot in self.slots)
            if alone and self.slots:
                break
            self._waiting.popleft()
            events.append(self._join(request))
        return events

    def _prompt(self, request: Request) -> tuple[list[int], list[int]]:
        """What is worth keeping of the prompt, and all of it."""
        head: list[int] = []
        parts = request.system or self._system, self._document
        system = "\n\n".join(part for part in parts if part)
        key = request.system, request.tools
        if system or request.tools:
            known = self._heads.get(key)
            if known is None:
                if len(self._heads) >= MAX_SYSTEMS:
                    self._heads.clear()
                known = self._engine.tokens_of(system_turn(system, request.tools))
                self._heads[key] = known
            head = known
        pieces = prompt(
            text=request.text,
            system="",
            thinking=request.thinking,
            turns=request.turns,
            rounds=request.rounds,
        )
        return head, head + self._engine.tokens_of(pieces)

    def _join(self, request: Request) -> Started | Refused:
        head, tokens = self._prompt(request)
        room = self._engine.context - len(tokens)
        if request.thinking:
            room -= len(self.stop_thinking)
        if room < 1:
            detail = f"{len(tokens)} prompt tokens in a context of {self._engine.context}"
            return Refused(request.id, "too_long", detail)
        schema, grammar = None, ""
        guessed = greedy(request.sampling) and not request.schema
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
        self.slots.append(
            Slot(
                request,
                sequence,
                prompt=tokens,
                head=head if self._prefixes.wants(head) else [],
                limit=min(request.max_tokens, room),
                feed=tokens[cached:],
                position=cached,
                cached=cached,
                sampler=sampler,
                said=self._speculation.begin(tokens) if guessed else None,
                think_left=request.think_tokens if request.thinking else -1,
                schema=schema,
                grammar=grammar if request.thinking else "",
            )
        )
        return Started(request.id)

    def _sequence_for(self, tokens: list[int]) -> tuple[int, int]:
        """A free sequence that begins as these tokens do, and how many of them it holds."""
        found = self._prefixes.longest(tokens)
        best = max(self.free, key=lambda free: (_in_common(free[1], tokens), -len(free[1])))
        held = _in_common(best[1], tokens)
        self.free.remove(best)
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

    def finish(self, slot: Slot, reason: str) -> Done | Refused:
        """Let a question leave."""
        if slot.sampler is not None:
            self._engine.free_sampler(slot.sampler)
        kept = self._heads.get((slot.request.system, slot.request.tools), [])
        if slot.request.tools:  # it may come again, with what they gave
            kept = slot.prompt[: slot.position]
        held = tuple(kept) if self._holds and slot.position >= len(kept) else ()
        self._engine.forget(slot.sequence, len(held))
        self.free.append((slot.sequence, held))
        self.slots.remove(slot)
        text = self.text(slot)
        if slot.schema is not None and text:
            if reason != "stop":
                text = closed_json(text)
            elif found := fault(slot.schema, text):
                detail = f"it does not keep to its schema: {found}"
                return Refused(slot.request.id, "no_answer", detail)
        return Done(
            slot.request.id,
            text,
            reason,
            len(slot.prompt),
            len(slot.written),
            slot.cached,
            self._thoughts(slot),
        )

    def _thoughts(self, slot: Slot) -> str:
        """What the model thought; empty where it did not."""
        if not slot.request.thinking:
            return ""
        end = len(slot.written) if slot.think_left >= 0 else slot.answer_from
        text = self._engine.text_of(slot.written[:end])
        return text.replace(THINK_START, "").partition(THINK_END)[0].strip()

    def text(self, slot: Slot) -> str:
        """What there is of the answer; empty while the model thinks."""
        if slot.think_left >= 0:
            return ""
        return self._engine.text_of(slot.written[slot.answer_from :]).strip()


def _in_common(held: Head, tokens: Sequence[int]) -> int:
    """How many tokens both begin with, so that one is left to be read."""
    pairs = zip(held, tokens[:-1], strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(held), len(tokens) - 1))
