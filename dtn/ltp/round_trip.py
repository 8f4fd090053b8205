"""How long the peer's answers really take, and how long to wait for one.

RFC 5326 §6.5 gives a timer light time and a margin; on a link whose frames may come late that is
too short, and everything would be sent over and over. So what answers take beyond light time is
smoothed, with its variation, as in RFC 6298 §2, and the margin is at least that. An answer to
something that was sent more than once may belong to any of its sendings (Karn's problem): it counts
only as far as it contradicts what is believed.
"""

from __future__ import annotations

from dtn.ltp.timers import Answered

_GAIN = 2
"""Half of what was believed is given up for each answer that came later, where RFC 6298 gives up an
eighth and a quarter: answers here are a few a minute. One that came sooner is believed at once, as
a modem that was stuck once must not make every later loss expensive."""
_VARIATIONS = 2
"""How many mean deviations beyond the mean an answer is waited for; a repeat too many costs a
frame."""
_MOST_BACKED_OFF = 16


class RoundTrip:
    """What answers take beyond light time."""

    def __init__(self) -> None:
        self._smoothed_ns = 0
        self._variation_ns = 0

    def take(self, answered: Answered) -> bool:
        """An answer is here; return whether it came sooner than was believed."""
        took_ns = min(max(self._smoothed_ns, answered.least_ns), answered.most_ns)
        if answered.least_ns < answered.most_ns and took_ns == self._smoothed_ns:
            return False
        if took_ns < self._smoothed_ns:
            self._smoothed_ns = took_ns
            self._variation_ns = min(self._variation_ns, took_ns // 2)
            return True
        away_ns = took_ns - self._smoothed_ns
        self._variation_ns += (away_ns - self._variation_ns) // _GAIN
        self._smoothed_ns += away_ns // _GAIN
        return False

    def margin_ns(self, least_ns: int, *, runs: int = 0) -> int:
        """How long beyond light time an answer is waited for.

        Args:
            least_ns: the margin where nothing speaks for more.
            runs: how often the timer has run out before. Two in a row may be losses; from the third
                on each waits twice as long as the one before.
        """
        margin_ns = max(least_ns, self._smoothed_ns + _VARIATIONS * self._variation_ns)
        return margin_ns * min(1 << max(0, runs - 2), _MOST_BACKED_OFF)
