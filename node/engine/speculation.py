"""Drafts for sequences that are decoded greedily: guessed from what was said before, or written by
a smaller model, and only as long as they pay.

The model checks a whole draft in one decode, so the text stays its own. What guessing, learning and
checking take is charged to an account (`costs.py`); where it is in debt there are no drafts, and
nothing is learned for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.engine.costs import OUTLIER, Account, Costs
from node.engine.draft_model import DraftModel
from node.engine.lookup import MAX_DRAFT, Drafts, Table, learned

LEAST_TOKENS = 4
"""Of a prompt: so many are looked up."""


@dataclass(slots=True)
class Said:
    """What a sequence has said, for guesses of what comes next."""

    table: Table
    last: list[int]
    """The last four tokens or more."""
    tokens: list[int]
    """All of them, for a model that drafts; else empty."""
    draft: list[int] = field(default_factory=list)
    """In the present decode."""
    kinds: list[int] = field(default_factory=list)
    """Where each token of the draft is from; empty where the model wrote it."""


class Speculation:
    """The drafts of one engine.

    Args:
        costs: what decodes take.
        clock_ns: measures.
        on: whether there are drafts at all.
        model: a smaller one, for where nothing is known from before.
    """

    def __init__(
        self, costs: Costs, clock_ns: Callable[[], int], *, on: bool, model: DraftModel | None
    ) -> None:
        self._costs = costs
        self._clock_ns = clock_ns
        self._on = on
        self._model = model
        self._account = Account()
        self._overhead_ns = 0
        """What guessing and learning took in this step."""
        self.drafts = Drafts(costs)

    @property
    def open(self) -> bool:
        """Whether drafts are tried now."""
        return self._on and self._account.open

    @property
    def gained_ns(self) -> float:
        """What drafts have saved so far; less than nothing where they cost more."""
        return self._account.gained_ns

    def begin(self, prompt: Sequence[int]) -> Said | None:
        """A sequence begins; None where nothing will be guessed for it."""
        if not self.open or len(prompt) < LEAST_TOKENS:
            return None
        begin_ns = self._clock_ns()
        tokens = list(prompt) if self._model is not None else []
        said = Said(learned(prompt), list(prompt[-LEAST_TOKENS:]), tokens)
        self._account.gained(begin_ns - self._clock_ns())
        return said

    def draft(
        self, said: Said, sequence: int, most: int, sequences: int, extra: int, expected: float
    ) -> float:
        """Guess what comes next, into `said.draft`; how much of it is expected to be right.

        Args:
            said: what the sequence has said.
            sequence: which one it is.
            most: tokens; nothing is guessed where it is below 1.
            sequences: decoded together.
            extra: tokens that others have in this decode, besides one each.
            expected: how many of those will be right.
        """
        said.draft, said.kinds, right = [], [], 0.0
        most = min(most, MAX_DRAFT)
        durations = self._costs.table(sequences)
        if most < 1 or durations is None or not self.open:
            return right
        begin_ns = self._clock_ns()
        said.draft, said.kinds, right = self.drafts.draft(
            said.table, said.last, most, sequences, extra, expected
        )
        if self._model is not None and not said.draft:
            said.draft = self._model.draft(sequence, said.tokens, most, sequences, durations)
        self._overhead_ns += self._clock_ns() - begin_ns
        return right

    def checked(self, said: Said, accepted: int) -> None:
        """So many of the draft's tokens were right, and the next, if any, was not."""
        if said.kinds:
            self.drafts.checked(said.kinds, accepted)
        elif self._model is not None:
            self._model.checked(len(said.draft), accepted)
        said.draft = []

    def follow(self, said: Said, tokens: Sequence[int]) -> None:
        """The sequence has said more."""
        if not self.open:
            return
        begin_ns = self._clock_ns()
        self.drafts.said(said.table, said.last, tokens)
        if said.tokens:
            said.tokens += tokens
        said.last = [*said.last, *tokens][-LEAST_TOKENS:]
        self._overhead_ns += self._clock_ns() - begin_ns

    def stepped(self, duration_ns: int, writing: int, drafted: int, made: int) -> None:
        """A step in which nothing was read took so long, of so many that write, with so many
        drafted tokens; it made so many tokens."""
        overhead_ns, self._overhead_ns = self._overhead_ns, 0
        if drafted:
            self._costs.drafted(writing, drafted, duration_ns - overhead_ns)
            plain_ns = self._costs.step_ns.get(writing)
            if plain_ns is not None:
                took_ns = min(duration_ns, OUTLIER * plain_ns)
                self._account.gained(made / writing * plain_ns - took_ns)
            return
        self._costs.plain(writing, duration_ns - overhead_ns)
        self._account.wrote(duration_ns - overhead_ns)
        if overhead_ns:
            self._account.gained(-overhead_ns)
