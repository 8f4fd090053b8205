"""Link budget of one direction: from powers and range to the fastest coding that closes. Pure.

C/N0 = EIRP - free-space loss - other losses + G/T - k, all in dB; a modcod closes where C/N0 less
the margin is at least what it needs. Losses do not change with elevation, and there is no
hysteresis between modcods: `losses_db` and `margin_db` have to cover rain, pointing and both.
Sources: free-space loss as in ITU-R P.525-4, equation 3; k as in the SI (2019).
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

LIGHT_M_S = 299_792_458.0
BOLTZMANN_DB = 10 * math.log10(1.380649e-23)
"""-228.6 dBW/K/Hz"""

Decibel = Annotated[float, Field(ge=-300, le=300)]
Loss = Annotated[float, Field(ge=0, le=300)]


class Modcod(BaseModel):
    """One modulation with its code: a rate with the Eb/N0 that it needs, or bits per symbol (code
    and framing counted) with Es/N0."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    """For passes and reports."""
    rate_bps: int | None = Field(default=None, gt=0, le=10**12)
    """Of information."""
    ebn0_db: Decibel | None = None
    """That it needs, with `rate_bps`."""
    bits_per_symbol: Annotated[float, Field(ge=1e-3, le=32)] | None = None
    """Of information, framing counted."""
    esn0_db: Decibel | None = None
    """That it needs, with `bits_per_symbol`."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Modcod:
        given = tuple(
            value is not None
            for value in (self.rate_bps, self.ebn0_db, self.bits_per_symbol, self.esn0_db)
        )
        if given not in ((True, True, False, False), (False, False, True, True)):
            raise ValueError("either rate_bps and ebn0_db, or bits_per_symbol and esn0_db")
        return self


class LinkBudget(BaseModel):
    """`[link.*.budget]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    eirp_dbw: Decibel
    """Of the transmitter."""
    g_over_t_db_k: Decibel
    """Of the receiver: antenna gain less system noise temperature, dB/K."""
    frequency_hz: Annotated[float, Field(ge=1e6, le=1e15)]
    """Of the carrier."""
    losses_db: Loss = 0.0
    """Besides free space: pointing, polarisation, atmosphere, implementation."""
    margin_db: Loss = 0.0
    """Left over at all times."""
    symbol_rate_baud: Annotated[float, Field(ge=1, le=1e12)] | None = None
    """For modcods with `bits_per_symbol`."""
    modcods: tuple[Modcod, ...] = Field(min_length=1, max_length=1000)
    """As below; the fastest that closes is used."""

    @model_validator(mode="after")
    def _symbols_have_a_rate(self) -> LinkBudget:
        if self.symbol_rate_baud is None:
            for index, modcod in enumerate(self.modcods):
                if modcod.bits_per_symbol is not None:
                    raise ValueError(f"symbol_rate_baud, which modcods.{index} needs")
        return self

    def rate_bps(self, modcod: Modcod) -> int:
        """What a modcod carries."""
        if modcod.rate_bps is not None:
            return modcod.rate_bps
        assert self.symbol_rate_baud is not None
        assert modcod.bits_per_symbol is not None
        return max(1, round(self.symbol_rate_baud * modcod.bits_per_symbol))

    @property
    def fastest_bps(self) -> int:
        """The highest rate of any modcod."""
        return max(self.rate_bps(modcod) for modcod in self.modcods)

    def cn0_db_hz(self, range_km: float) -> float:
        """Carrier to noise density at a range."""
        loss_db = free_space_loss_db(range_km, self.frequency_hz) + self.losses_db
        return self.eirp_dbw + self.g_over_t_db_k - loss_db - BOLTZMANN_DB

    def needed_cn0_db_hz(self, modcod: Modcod) -> float:
        """What a modcod needs, the margin included."""
        if modcod.esn0_db is not None:
            assert self.symbol_rate_baud is not None
            return modcod.esn0_db + 10 * math.log10(self.symbol_rate_baud) + self.margin_db
        assert modcod.ebn0_db is not None
        return modcod.ebn0_db + 10 * math.log10(self.rate_bps(modcod)) + self.margin_db

    def reach_km(self, modcod: Modcod) -> float:
        """How far a modcod closes."""
        return float(10 ** ((self.cn0_db_hz(1.0) - self.needed_cn0_db_hz(modcod)) / 20))


def free_space_loss_db(range_km: float, frequency_hz: float) -> float:
    """Loss between isotropic antennas."""
    return 20 * math.log10(4 * math.pi * range_km * 1000 * frequency_hz / LIGHT_M_S)


@dataclass(frozen=True, slots=True)
class Step:
    """A rate that holds for a while. Times are ns on the plan's clock."""

    start_ns: int
    end_ns: int
    rate_bps: int
    """0 where no modcod closes."""
    modcod: str
    """Empty where none closes, and where the rate is fixed."""


@dataclass(frozen=True, slots=True)
class _Rung:
    reach_km: float
    rate_bps: int
    modcod: str


class Ladder:
    """The modcods worth having: each is faster than all that reach farther.

    Args:
        budget: of the direction.
        most_bps: modcods above this rate are left out.
    """

    def __init__(self, budget: LinkBudget, most_bps: int) -> None:
        known = [
            _Rung(budget.reach_km(modcod), budget.rate_bps(modcod), modcod.name)
            for modcod in budget.modcods
            if budget.rate_bps(modcod) <= most_bps
        ]
        self._rungs: list[_Rung] = []
        """Nearest, and so fastest, first."""
        for rung in sorted(known, key=lambda one: (-one.reach_km, -one.rate_bps)):
            if not self._rungs or rung.rate_bps > self._rungs[0].rate_bps:
                self._rungs.insert(0, rung)
        self._reaches = [rung.reach_km for rung in self._rungs]

    def at(self, range_km: float) -> tuple[int, str]:
        """Rate and modcod at a range; 0 and "" beyond all."""
        index = bisect_left(self._reaches, range_km)
        if index == len(self._rungs):
            return 0, ""
        return self._rungs[index].rate_bps, self._rungs[index].modcod

    def steps(self, ranges_km: Sequence[float], start_ns: int, end_ns: int) -> list[Step]:
        """The rate over a contact, without gaps.

        Args:
            ranges_km: two or more, evenly from start to end, linear in between.
            start_ns, end_ns: of the contact.
        """
        count, length_ns = len(ranges_km) - 1, end_ns - start_ns
        steps: list[Step] = []
        for index, (near, far) in enumerate(itertools.pairwise(ranges_km)):
            begin_ns = start_ns + length_ns * index // count
            stop_ns = start_ns + length_ns * (index + 1) // count
            for a_ns, b_ns, range_km in self._pieces(near, far, begin_ns, stop_ns):
                rate_bps, modcod = self.at(range_km)
                if steps and (steps[-1].rate_bps, steps[-1].modcod) == (rate_bps, modcod):
                    steps[-1] = Step(steps[-1].start_ns, b_ns, rate_bps, modcod)
                else:
                    steps.append(Step(a_ns, b_ns, rate_bps, modcod))
        return steps

    def _pieces(
        self, first_km: float, last_km: float, start_ns: int, end_ns: int
    ) -> list[tuple[int, int, float]]:
        """Parts within which no reach is crossed, each with a range of its own."""
        low, high = min(first_km, last_km), max(first_km, last_km)
        crossed = self._reaches[bisect_left(self._reaches, low) : bisect_left(self._reaches, high)]
        cuts = [(start_ns, first_km)]
        for reach_km in crossed if first_km < last_km else reversed(crossed):
            share = (reach_km - first_km) / (last_km - first_km)
            cuts.append((start_ns + round(share * (end_ns - start_ns)), reach_km))
        cuts.append((end_ns, last_km))
        return [
            (a_ns, b_ns, (a_km + b_km) / 2)
            for (a_ns, a_km), (b_ns, b_km) in itertools.pairwise(cuts)
            if b_ns > a_ns
        ]
