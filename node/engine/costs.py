"""What a decode takes, by how many sequences and tokens it is for: measured at the first start,
followed from then on. Pure.

Processors differ: on one a second token in a decode is nearly free, on another it costs almost as
much as a decode of its own, and eight sequences together can be slower than four. So nothing here
is assumed that can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.speed import best_width, between

SUPPOSED = 0.5
"""Of a decode: what a token more takes, while it is not measured."""
FOLLOW = 0.1
"""Of the running means."""
OUTLIER = 4.0
"""A duration counts as so many times what was known at most: something else had the processor."""
RENEWED_EVERY = 32
"""Decodes, after which the tables are worked out anew."""
MAX_EXTRA = 32


class Costs:
    """Durations of decodes, ns.

    Args:
        step_ns: of one token for each of so many sequences, as first measured.
        check_ns: of so many tokens of one sequence, as a draft is checked; 2 and more.
    """

    def __init__(
        self,
        step_ns: Mapping[int, float] | None = None,
        check_ns: Mapping[int, float] | None = None,
    ) -> None:
        self.step_ns = dict(step_ns or {})
        """A running mean."""
        self._check_ns = dict(check_ns or {})
        self._dearer: dict[int, float] = {}
        """By how much the tokens of drafts cost more than for one sequence, where there are so
        many."""
        self._tables: dict[int, list[float]] = {}
        self._decodes = 0

    def table(self, sequences: int) -> Sequence[float] | None:
        """Duration of a decode of a token for each of so many sequences and 0, 1, 2 ... drafted
        ones; None before anything was measured."""
        if not self.step_ns:
            return None
        found = self._tables.get(sequences)
        if found is None:
            found = self._tables[sequences] = self._worked_out(sequences)
        return found

    def _worked_out(self, sequences: int) -> list[float]:
        plain_ns = between(self.step_ns, sequences)
        one_ns = between(self.step_ns, 1)
        supposed = {MAX_EXTRA: one_ns * (1 + SUPPOSED * (MAX_EXTRA - 1))}
        checks = {1: one_ns, **(self._check_ns or supposed)}
        dearer, base_ns = self._dearer.get(sequences, 1.0), between(checks, sequences)
        extras = (between(checks, sequences + extra) - base_ns for extra in range(MAX_EXTRA + 1))
        return [plain_ns + dearer * max(0.0, extra_ns) for extra_ns in extras]

    def width(self, most: int) -> int:
        """How many sequences to decode together."""
        return best_width(self.step_ns, most) if self.step_ns else most

    def plain(self, sequences: int, duration_ns: float) -> None:
        """A decode of one token for each of some sequences took so long."""
        _follow(self.step_ns, sequences, duration_ns)
        self._decoded()

    def drafted(self, sequences: int, extra: int, duration_ns: float) -> None:
        """A decode with `extra` drafted tokens took so long."""
        table = self.table(sequences)
        if table is None:
            return
        if sequences == 1:
            self._check_ns.setdefault(1 + extra, table[extra])
            _follow(self._check_ns, 1 + extra, duration_ns)
        elif table[extra] > table[0]:
            known = self._dearer.get(sequences, 1.0)
            seen = (duration_ns - table[0]) / (table[extra] - table[0]) * known
            self._dearer[sequences] = known + FOLLOW * (
                min(max(seen, 0.0), OUTLIER * known) - known
            )
        self._decoded()

    def _decoded(self) -> None:
        self._decodes += 1
        if self._decodes % RENEWED_EVERY == 0:
            self._tables.clear()


def _follow(known: dict[int, float], key: int, duration_ns: float) -> None:
    old = known.get(key)
    if old is None:
        known[key] = float(duration_ns)
    else:
        known[key] = old + FOLLOW * (min(duration_ns, OUTLIER * old) - old)


class Account:
    """Keeps what drafts may lose small.

    They live on what they gain, and on a small share of the time that is written in. While the
    account is in debt nothing is drafted, and nothing learned for drafts. What it holds is limited,
    so a good hour does not pay for a bad one: over 2,000 decodes at most `CREDIT_STEPS` and `SHARE`
    of them are lost.
    """

    SHARE = 0.005
    CREDIT_STEPS = 15

    def __init__(self) -> None:
        self._most_ns = 0.0
        self._credit_ns = 0.0
        self.open = True
        """Whether drafts are tried."""
        self.gained_ns = 0.0
        """In all; less than nothing where they lost."""

    def wrote(self, plain_ns: float) -> None:
        """A decode without a draft took so long."""
        self._most_ns = self.CREDIT_STEPS * plain_ns
        if not self._credit_ns and self.open:
            self._credit_ns = self._most_ns
        self._add(self.SHARE * plain_ns)

    def gained(self, gain_ns: float) -> None:
        """Drafts saved so much time, or cost it."""
        self.gained_ns += gain_ns
        self._add(gain_ns)

    def _add(self, amount_ns: float) -> None:
        self._credit_ns = min(self._credit_ns + amount_ns, self._most_ns)
        if self._credit_ns < 0:
            self.open = False
        elif self._credit_ns > self._most_ns / 2:
            self.open = True


class Width:
    """How many questions are answered at once: as many as is fastest in all, and now and then
    another number for a while, to see whether it still is.

    Args:
        costs: what decodes take.
        most: that there are sequences for.
        fixed: always `most`.
    """

    PROBE_EVERY = 64
    """Answers."""
    PROBE_FOR = 4
    """Answers."""

    def __init__(self, costs: Costs, most: int, *, fixed: bool) -> None:
        self._costs = costs
        self._most = most
        self._fixed = fixed
        self._answers = 0
        self.now = most if fixed else costs.width(most)

    def answered(self) -> None:
        """An answer is there."""
        if self._fixed:
            return
        self._answers += 1
        turn, place = divmod(self._answers, self.PROBE_EVERY)
        probing = turn > 0 and place < self.PROBE_FOR
        self.now = (turn - 1) % self._most + 1 if probing else self._costs.width(self._most)
