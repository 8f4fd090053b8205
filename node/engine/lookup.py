"""Drafts from what was already said: answers about telemetry quote their prompt, and repeat the
wording of earlier answers. Pure.

The next token is guessed to be the one that last followed the same few tokens, in this prompt or in
an earlier answer (prompt lookup). The model checks a whole draft in one decode, so a draft pays
where enough of it is right; how much that is, is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.engine.costs import Costs

ORDERS = (4, 3, 2)
"""How many tokens must have been seen together before; the longest first."""
MAX_DRAFT = 15
LEAST_RATE = 0.05
"""Of the running means of what was right."""
MAX_HISTORY = 200_000
"""Entries about earlier answers; then they are forgotten, all at once."""
LEAST_CHANCE = 0.1
"""That a token and all before it are right; where it is less, a draft goes no further."""
PROBE_EVERY = 96
"""Where drafts do not pay, one in so many chances is still taken, to see whether they would."""

Table = dict[tuple[int, ...], int]
"""A few tokens to the one that followed them last, and how often in a row it did: the token times
four, and 0 (once) to 3 (four times or more)."""


def learn(tables: Sequence[Table], before: Sequence[int], tokens: Sequence[int]) -> None:
    """Note in each table what follows what in `tokens`, which come after the tokens `before`."""
    known = [*before[-4:], *tokens]
    start = len(known) - len(tokens)
    for end in range(max(start, 2), len(known)):
        token = known[end]
        keys = (
            (known[end - 2], known[end - 1]),
            tuple(known[end - 3 : end]),
            tuple(known[end - 4 : end]) if end >= 4 else (),
        )
        for table in tables:
            for key in keys:
                old = table.get(key, -1)
                if old >> 2 != token:
                    table[key] = token << 2
                elif old & 3 < 3:
                    table[key] = old + 1


def learned(tokens: Sequence[int]) -> Table:
    """A table of what follows what in a prompt: the last time counts, and no repetition."""
    table: Table = {}
    for order in ORDERS:
        keys = zip(*(tokens[start:] for start in range(order)), strict=False)
        table.update(zip(keys, (token << 2 for token in tokens[order:]), strict=False))
    return table


class Drafts:
    """Guesses what comes next, and judges from what was right how much of it to try.

    A draft is as long as makes the expected tokens a second most; that may be no token at all.

    Args:
        costs: what decodes take.
    """

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._history: Table = {}
        self._right = [0.5, 0.7, 0.8, 0.9] * (2 * len(ORDERS))
        """That a guess is right, by order, source and how often in a row it was."""
        self._rate = [0.5] * len(self._right)
        """How much the next guess says of that: much while it is only supposed."""
        self._chances = 0

    def draft(
        self,
        table: Table,
        last: Sequence[int],
        most: int,
        sequences: int,
        extra: int = 0,
        expected: float = 0.0,
    ) -> tuple[list[int], list[int], float]:
        """What to try after `last`, the sequence's last four tokens: the tokens, where each guess
        is from, and how many of them are expected to be right.

        Args:
            table: what the sequence itself has said.
            last: four tokens.
            most: tokens, at least 1.
            sequences: decoded together.
            extra: tokens that others have in this decode already, besides one each.
            expected: how many of those will be right.
        """
        tokens: list[int] = []
        kinds: list[int] = []
        durations = self._costs.table(sequences)
        if durations is None:
            return tokens, kinds, 0.0
        most = min(most, MAX_DRAFT, len(durations) - 1 - extra)
        history, right = self._history, self._right
        a, b, c, d = last
        left, so_far = 1.0, sequences + expected
        best, best_rate, best_right = 0, so_far / durations[extra], 0.0
        while len(tokens) < most:
            key = (a, b, c, d)
            if (entry := table.get(key)) is not None:
                kind = 0
            elif (entry := history.get(key)) is not None:
                kind = 4
            elif (entry := table.get(key[1:])) is not None:
                kind = 8
            elif (entry := history.get(key[1:])) is not None:
                kind = 12
            elif (entry := table.get(key[2:])) is not None:
                kind = 16
            elif (entry := history.get(key[2:])) is not None:
                kind = 20
            else:
                break
            token = entry >> 2
            kind += entry & 3
            left *= right[kind]
            if left < LEAST_CHANCE and tokens:
                break
            tokens.append(token)
            kinds.append(kind)
            so_far += left
            rate = so_far / durations[extra + len(tokens)]
            if rate > best_rate:
                best, best_rate = len(tokens), rate
                best_right = so_far - sequences - expected
            a, b, c, d = b, c, d, token
        if tokens and not best:
            self._chances += 1
            if self._chances % PROBE_EVERY == 0:
                best = 1
        return tokens[:best], kinds[:best], best_right

    def checked(self, kinds: Sequence[int], accepted: int) -> None:
        """The first `accepted` tokens of a draft were right, and the next, if any, was not."""
        right, rate = self._right, self._rate
        for index, kind in enumerate(kinds[: accepted + 1]):
            right[kind] += rate[kind] * ((index < accepted) - right[kind])
            rate[kind] = max(LEAST_RATE, rate[kind] / (1 + rate[kind]))

    def said(self, table: Table, before: Sequence[int], tokens: Sequence[int]) -> None:
        """Tokens of an answer, and the last ones before them: for its own table, and for others."""
        if len(self._history) > MAX_HISTORY:
            self._history.clear()
        learn((table, self._history), before, tokens)
