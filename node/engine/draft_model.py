"""A smaller model with the same vocabulary guesses what the larger one will say next.

The larger one checks the whole guess in one decode, as with any draft, so the text stays its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.engine.llama import BATCH_TOKENS, Engine
from node.engine.lookup import LEAST_RATE

MAX_TOKENS = 8
PROBE_EVERY = 480
"""Where it does not pay, one in so many chances is still taken. It may have a prompt to read for
that, so they are fewer than of drafts that cost nothing."""


class DraftModel:
    """Drafts by a model of their own.

    A draft is as long as makes the expected tokens a second most, its writing and checking
    included; that may be no token at all.

    Args:
        engine: the smaller model, with a sequence for each of the larger one's.
        clock_ns: measures its steps.
    """

    def __init__(self, engine: Engine, clock_ns: Callable[[], int]) -> None:
        self._engine = engine
        self._clock_ns = clock_ns
        self._held: dict[int, list[int]] = {}
        """What its cache holds of each sequence."""
        self._right = 0.7
        """That a token is right, if those before it were."""
        self._rate = 0.5
        self._step_ns: float | None = None
        self._chances = 0

    def draft(
        self,
        sequence: int,
        tokens: Sequence[int],
        most: int,
        sequences: int,
        durations: Sequence[float],
    ) -> list[int]:
        """What comes after `tokens`, as long as that pays.

        Args:
            sequence: whose.
            tokens: all that the sequence has said, the prompt first.
            most: tokens, at least 1.
            sequences: decoded together; the others wait meanwhile.
            durations: ns of a decode of one token for each of them and 0, 1, 2 ... drafted ones.
        """
        worth = self._worth(sequences, durations)
        count = min(most, worth, self._engine.context - len(tokens))
        if count <= 0:
            return []
        guess = [self._read(sequence, tokens)]
        begin_ns = self._clock_ns()
        while len(guess) < count:
            self._engine.put_one(0, guess[-1], len(tokens) + len(guess) - 1, sequence)
            self._engine.decode(1)
            guess.append(self._engine.likeliest(0))
        if count > 1:
            self._measured((self._clock_ns() - begin_ns) / (count - 1))
        self._held[sequence] = [*tokens, *guess[:-1]]
        return guess

    def checked(self, drafted: int, accepted: int) -> None:
        """So many of a draft's tokens were right, and the next, if any, was not."""
        for index in range(min(accepted + 1, drafted)):
            self._right += self._rate * ((index < accepted) - self._right)
            self._rate = max(LEAST_RATE, self._rate / (1 + self._rate))

    def _worth(self, sequences: int, durations: Sequence[float]) -> int:
        """The length that makes the expected tokens a second most."""
        if self._step_ns is None:
            return 2  # the second one is measured
        best, best_rate = 0, sequences / durations[0]
        left, so_far = 1.0, float(sequences)
        for count in range(1, min(MAX_TOKENS, len(durations) - 1) + 1):
            left *= self._right
            so_far += left
            rate = so_far / (durations[count] + count * self._step_ns)
            if rate > best_rate:
                best, best_rate = count, rate
        if not best:
            self._chances += 1
            return int(self._chances % PROBE_EVERY == 0)
        return best

    def _read(self, sequence: int, tokens: Sequence[int]) -> int:
        """Bring the cache up to `tokens`; the likeliest next one."""
        held = self._held.pop(sequence, [])
        same, most = 0, min(len(held), len(tokens) - 1)
        while same < most and held[same] == tokens[same]:
            same += 1
        self._engine.forget(sequence, same)
        last = 0
        for start in range(same, len(tokens), BATCH_TOKENS):
            piece = tokens[start : start + BATCH_TOKENS]
            self._engine.put(0, piece, start, sequence, wanted=True)
            self._engine.decode(len(piece))
            last = len(piece) - 1
        return self._engine.likeliest(last)

    def _measured(self, step_ns: float) -> None:
        known = self._step_ns
        self._step_ns = (
            step_ns if known is None else known + 0.1 * (min(step_ns, 4 * known) - known)
        )


def same_vocabulary(one: Engine, other: Engine) -> bool:
    """Whether two models mean the same by every token."""
    if one.vocab_size != other.vocab_size or one.special != other.special or one.ends != other.ends:
        return False
    return all(one.text_of([token]) == other.text_of([token]) for token in range(one.vocab_size))
