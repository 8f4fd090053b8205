"""The battery of the satellite: what the sun puts in, what the node draws, what an answer cost.
Pure, and exact: energy is counted in whole picojoules (mW times ns), so that it does not matter in
how many steps time is advanced, and no energy is lost to rounding.

The model is the simple one of PASEOS (Gomez and others 2023, arXiv:2302.02659;
`paseos/power/charge_model.py` and `discharge_model.py`): a constant rate of charge in sunlight,
none in shadow, cut at the capacity; consumption taken off. Here sunlight may begin and end within a
step, and a battery that is empty says what it could not deliver instead of raising.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from roundtrip.config import Watts
from roundtrip.contacts import Windows
from roundtrip.errors import BadConfig
from roundtrip.node_config import EnergyConfig
from roundtrip.scenario import Scenario
from roundtrip.units import s_to_ns

PJ_PER_J = 10**12
J_PER_WH = 3600
ORBIT_MIN, ECLIPSE_MIN = 95.0, 35.0
"""Of a low orbit, where a scenario says nothing."""


class PowerSection(BaseModel):
    """`[power]` of a profile: what the whole board draws while it does something, in W; the radio's
    comes on top."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    idle_w: Watts
    prefill_w: Watts
    decode_w: Watts
    radio_tx_w: Watts = 0
    radio_rx_w: Watts = 0


class Activity(enum.Enum):
    """What costs energy, besides being on."""

    PREFILL = "prefill"
    DECODE = "decode"
    RADIO_TX = "radio_tx"
    RADIO_RX = "radio_rx"


ENGINE = (Activity.PREFILL, Activity.DECODE)
RADIO = (Activity.RADIO_TX, Activity.RADIO_RX)


class Priority(enum.IntEnum):
    """Of a question; as in `dtn.agent`, a lower number goes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Totals:
    """Where all energy went since the start, in J: start + harvested + unmet = used + spilled +
    what is left."""

    start_j: float
    harvested_j: float
    used_j: float
    spilled_j: float
    """The sun gave it, and the battery was full."""
    unmet_j: float
    """It was drawn, and the battery was empty: a real satellite would have switched off."""


class Battery:
    """The charge over time, and the energy of each answer.

    Tell it with `serve` whenever an activity begins, ends, or serves other jobs; it accounts for
    the time until then by what went on before.

    Args:
        config: capacity, floor, start, solar and bus watts.
        power: watts by activity.
        sunlight: when the panels are lit.
    """

    def __init__(self, config: EnergyConfig, power: PowerSection, sunlight: Windows) -> None:
        self._capacity_pj = round(config.battery_wh * J_PER_WH * PJ_PER_J)
        self._floor_pj = round(self._capacity_pj * config.floor)
        self._charge_pj = self._start_pj = round(self._capacity_pj * config.start)
        self._solar_mw = _mw(config.solar_w)
        self._idle_mw = _mw(power.idle_w)
        self._base_mw = self._idle_mw + _mw(config.bus_w)
        self._mw = {
            Activity.PREFILL: _mw(power.prefill_w),
            Activity.DECODE: _mw(power.decode_w),
            Activity.RADIO_TX: _mw(power.radio_tx_w),
            Activity.RADIO_RX: _mw(power.radio_rx_w),
        }
        self._sunlight = sunlight
        self._now_ns = 0
        self._jobs: dict[Activity, tuple[int, ...]] = {}
        self._spent_pj: dict[int, int] = {}
        self._harvested_pj = self._used_pj = self._spilled_pj = self._unmet_pj = 0

    # -- what goes on ------------------------------------------------------------------------------

    def serve(self, activity: Activity, jobs: Iterable[int] | None, *, now_ns: int) -> None:
        """From now on this activity serves these jobs; None: it is off. An activity may be on for
        no job (a beacon on the air)."""
        self.advance(now_ns)
        if jobs is None:
            self._jobs.pop(activity, None)
        else:
            self._jobs[activity] = tuple(jobs)

    def advance(self, now_ns: int) -> None:
        """Account for the time until `now_ns`; nothing when that is past."""
        if now_ns <= self._now_ns:
            return
        duration_ns = now_ns - self._now_ns
        self._share(duration_ns)
        draw_mw = self._draw_mw()
        at_ns = self._now_ns
        while at_ns < now_ns:
            end_ns, lit = self._until(at_ns, now_ns)
            self._step(draw_mw, self._solar_mw if lit else 0, end_ns - at_ns)
            at_ns = end_ns
        self._now_ns = now_ns

    def _until(self, at_ns: int, limit_ns: int) -> tuple[int, bool]:
        """How long the light stays as it is at `at_ns`, and whether it is sunlight."""
        window = self._sunlight.at(at_ns)
        if window is not None:
            return min(window[1], limit_ns), True
        start_ns = self._sunlight.next_start(at_ns)
        return (limit_ns if start_ns is None else min(start_ns, limit_ns)), False

    def _step(self, draw_mw: int, solar_mw: int, duration_ns: int) -> None:
        self._harvested_pj += solar_mw * duration_ns
        self._used_pj += draw_mw * duration_ns
        charge_pj = self._charge_pj + (solar_mw - draw_mw) * duration_ns
        if charge_pj > self._capacity_pj:
            self._spilled_pj += charge_pj - self._capacity_pj
            charge_pj = self._capacity_pj
        elif charge_pj < 0:
            self._unmet_pj -= charge_pj
            charge_pj = 0
        self._charge_pj = charge_pj

    def _draw_mw(self) -> int:
        return (
            self._base_mw + self._engine_mw() + sum(self._mw[a] for a in RADIO if a in self._jobs)
        )

    def _engine_mw(self) -> int:
        """What the engine adds to idling: prefill and decode at once draw as the hungrier of
        both."""
        busy = max((self._mw[a] for a in ENGINE if a in self._jobs), default=0)
        return max(0, busy - self._idle_mw)

    def _share(self, duration_ns: int) -> None:
        """Put what was added to idling on the jobs it was for, in equal parts."""
        engine = dict.fromkeys(job for a in ENGINE for job in self._jobs.get(a, ()))
        shares = [(self._engine_mw(), tuple(engine))]
        shares += [(self._mw[a], self._jobs.get(a, ())) for a in RADIO]
        for draw_mw, jobs in shares:
            for index, job in enumerate(jobs):
                part, rest = divmod(draw_mw * duration_ns, len(jobs))
                self._spent_pj[job] = self._spent_pj.get(job, 0) + part + (index < rest)

    # -- what follows ------------------------------------------------------------------------------

    @property
    def charge_j(self) -> float:
        """What is left."""
        return self._charge_pj / PJ_PER_J

    @property
    def charge_share(self) -> float:
        """What is left, of the capacity."""
        return self._charge_pj / self._capacity_pj

    @property
    def totals(self) -> Totals:
        """Where all energy went."""
        return Totals(
            *(
                value / PJ_PER_J
                for value in (
                    self._start_pj,
                    self._harvested_pj,
                    self._used_pj,
                    self._spilled_pj,
                    self._unmet_pj,
                )
            )
        )

    @property
    def balanced(self) -> bool:
        """Whether all energy is accounted for, to the last picojoule."""
        left = self._start_pj + self._harvested_pj + self._unmet_pj
        return left == self._used_pj + self._spilled_pj + self._charge_pj

    def answer_j(self, job: int) -> float:
        """What a job has cost so far, above idling."""
        return self._spent_pj.get(job, 0) / PJ_PER_J

    def settle(self, job: int) -> float:
        """What a job has cost, and forget it."""
        return self._spent_pj.pop(job, 0) / PJ_PER_J

    def may_run(self, priority: Priority, needs_j: float = 0.0) -> bool:
        """Whether a question may be answered now.

        Below the floor, or where its answer would go below it, only questions of high priority
        are, and of them only what the battery can pay.

        Args:
            priority: the question's.
            needs_j: what its answer is expected to cost.
        """
        floor_pj = 0 if priority is Priority.HIGH else self._floor_pj
        return self._charge_pj > 0 and self._charge_pj - needs_j * PJ_PER_J >= floor_pj

    def ready_ns(self, needs_j: float = 0.0) -> int | None:
        """When the floor will be so far below, if nothing but what goes on now goes on.

        Returns:
            Now or later; None when the sun that is planned does not suffice.
        """
        wanted_pj = min(self._floor_pj + round(needs_j * PJ_PER_J), self._capacity_pj)
        charge_pj, at_ns, draw_mw = self._charge_pj, self._now_ns, self._draw_mw()
        if charge_pj >= wanted_pj:
            return at_ns
        horizon_ns = self._sunlight.spans[-1][1] if self._sunlight.spans else at_ns
        while at_ns < horizon_ns:
            end_ns, lit = self._until(at_ns, horizon_ns)
            net_mw = (self._solar_mw if lit else 0) - draw_mw
            if net_mw > 0:
                reached_ns = at_ns - (charge_pj - wanted_pj) // net_mw
                if reached_ns <= end_ns:
                    return reached_ns
            charge_pj = min(self._capacity_pj, max(0, charge_pj + net_mw * (end_ns - at_ns)))
            at_ns = end_ns
        return None


def cycles(orbit_ns: int, eclipse_ns: int, length_ns: int) -> Windows:
    """Sunlight that ends `eclipse_ns` before the end of each orbit."""
    starts = range(0, max(length_ns, 1), orbit_ns)
    return Windows((start, start + orbit_ns - eclipse_ns) for start in starts)


def battery_of(scenario: Scenario, power: PowerSection | None, length_ns: int) -> Battery | None:
    """The battery of a scenario; None where `[node.energy]` is not there.

    Args:
        scenario: with or without an orbit; with one, sunlight follows from it.
        power: the profile's.
        length_ns: how long sunlight is needed where there is no orbit.

    Raises:
        BadConfig: the profile does not say what the machine draws.
    """
    energy = scenario.node.energy
    if energy is None:
        return None
    if power is None:
        raise BadConfig("node.profile", scenario.node.profile, "a profile with [power]", "none")
    return Battery(energy, power, sunlight_on(scenario, length_ns))


def sunlight_on(scenario: Scenario | None, length_ns: int) -> Windows:
    """When the node is in sunlight: by its orbit, or in turn.

    Args:
        scenario: with or without an orbit, or `[node.energy]`; None: as one with neither.
        length_ns: how long it is needed where there is no orbit.
    """
    if scenario is not None and scenario.orbit is not None:
        from roundtrip.passes import sunlight_of

        return sunlight_of(scenario, scenario.name)
    energy = None if scenario is None else scenario.node.energy
    orbit_min, eclipse_min = (
        (ORBIT_MIN, ECLIPSE_MIN) if energy is None else (energy.orbit_min, energy.eclipse_min)
    )
    if not eclipse_min:
        return Windows([(0, max(length_ns, 1))])
    return cycles(s_to_ns(orbit_min * 60), s_to_ns(eclipse_min * 60), length_ns)


def _mw(watts: float) -> int:
    return round(watts * 1000)
