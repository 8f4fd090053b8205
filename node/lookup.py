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
MAX_HISTORY = 200_000
"""Entries about earlier answers; then they are forgotten, all at once."""
PROBE_EVERY = 48
"""Where drafts do not pay, one in so many chances is still taken, to see whether they would."""

Table = dict[tuple[int, ...], int]
"""A few tokens to the one that followed them last, and how often in a row it did: the token times
four, and 0 (once) to 3 (four times or more)."""


def learn(table: Table, before: Sequence[int], tokens: Sequence[int]) -> None:
    """Note what follows what in `tokens`, which come after the tokens `before`."""
    known = [*before[-4:], *tokens]
    start = len(known) - len(tokens)
    for end in range(max(start, 2), len(known)):
        entry = known[end] << 2
        for key in (
            (known[end - 2], known[end - 1]),
            tuple(known[end - 3 : end]),
            tuple(known[end - 4 : end]) if end >= 4 else (),
        ):
            old = table.get(key, -1)
            if old >> 2 != entry >> 2:
                table[key] = entry
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
        plain_ns = self._plain_ns.get(sequences)
        if plain_ns is None:
            return tokens, kinds
        extra_ns = 0.35 * plain_ns if self._extra_ns is None else self._extra_ns
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

    def checked(self, kinds: Sequence[int], accepted: int) -> None:
        """The first `accepted` tokens of a draft were right, and the next, if any, was not."""
        right = self._right
        for kind in kinds[:accepted]:
            right[kind] += 0.05 * (1 - right[kind])
        if accepted < len(kinds):
            right[kinds[accepted]] *= 0.95

    def said(self, before: Sequence[int], answer: Sequence[int]) -> None:
        """A whole answer, and the end of what came before it."""
        if len(self._history) > MAX_HISTORY:
            self._history.clear()
        learn(self._history, before, answer)

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
