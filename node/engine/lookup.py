"""Drafts from what was already said: answers about telemetry quote their prompt, and repeat the
wording of earlier answers. Pure.

The next token is guessed to be the one that last followed the same few tokens, in this prompt or in
an earlier answer (prompt lookup). The model checks a whole draft in one decode, so a draft pays
where enough of it is right; how much that is, is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

ORDERS = (4, 3, 2)
"""How many tokens must have been seen together before; the longest first."""
MAX_DRAFT = 15
LEAST_RATE = 0.05
"""Of the running means of what was right."""
MAX_HISTORY = 200_000
"""Entries about earlier answers; then they are forgotten, all at once."""
PROBE_EVERY = 48
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


class Drafts:
    """Guesses what comes next, and judges from what was right whether that pays.

    A further token of a draft pays while the chance that it and all before it are right is above
    its cost relative to a token of a plain decode.
    """

    def __init__(self) -> None:
        self._history: Table = {}
        self._right = [0.5, 0.7, 0.8, 0.9] * (2 * len(ORDERS))
        """That a guess is right, by order, source and how often in a row it was."""
        self._rate = [0.5] * len(self._right)
        """How much the next guess says of that: much while it is only supposed."""
        self._plain_ns: dict[int, float] = {}
        """Duration of a decode of one token for each of so many sequences."""
        self._extra_ns: float | None = None
        self._chances = 0

    def draft(
        self, table: Table, last: Sequence[int], most: int, sequences: int
    ) -> tuple[list[int], list[int]]:
        """Up to `most` tokens after `last`, the sequence's last four, and where each guess is from.

        Args:
            table: what the sequence itself has said.
            last: four tokens.
            most: tokens, at least 1.
            sequences: decoded together.
        """
        tokens: list[int] = []
        kinds: list[int] = []
        costs = self.costs(sequences)
        if costs is None:
            return tokens, kinds
        plain_ns, extra_ns = costs
        cost = max(extra_ns * sequences / plain_ns, 0.02)
        history, right = self._history, self._right
        a, b, c, d = last
        left = 1.0
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
            if left < cost:
                if not tokens:
                    self._chances += 1
                    if self._chances % PROBE_EVERY == 0:
                        return [token], [kind]
                break
            tokens.append(token)
            kinds.append(kind)
            a, b, c, d = b, c, d, token
        return tokens[:MAX_DRAFT], kinds[:MAX_DRAFT]

    def costs(self, sequences: int) -> tuple[float, float] | None:
        """ns of a decode of one token for each of so many sequences, and of a drafted token more;
        None before the first."""
        plain_ns = self._plain_ns.get(sequences)
        if plain_ns is None:
            return None
        return plain_ns, 0.35 * plain_ns if self._extra_ns is None else self._extra_ns

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

    def plain_step(self, sequences: int, duration_ns: int) -> None:
        """A decode of one token for each of some sequences took so long."""
        known = self._plain_ns.get(sequences)
        self._plain_ns[sequences] = (
            float(duration_ns)
            if known is None
            else known + 0.1 * (min(duration_ns, 4 * known) - known)
        )

    def drafted_step(self, sequences: int, extra: int, duration_ns: int) -> None:
        """A decode with `extra` drafted tokens took so long."""
        plain_ns = self._plain_ns.get(sequences)
        if plain_ns is None:
            return
        each_ns = min(max(0.0, duration_ns - plain_ns) / extra, 2 * plain_ns)
        known = self._extra_ns
        self._extra_ns = each_ns if known is None else known + 0.1 * (each_ns - known)

    @property
    def step_ns(self) -> dict[int, float]:
        """Duration of a decode of one token for each of so many sequences, a running mean."""
        return self._plain_ns
