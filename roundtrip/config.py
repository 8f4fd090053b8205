"""The sections of a scenario file, and their ranges."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dtn.ltp.notices import LEAST_MTU_BYTES
from roundtrip.budget import Budget
from roundtrip.link_budget import LinkBudget
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.units import ms_to_ns, s_to_ns

LIGHT_KM_S = 299_792.458
MAX_S = 366 * 86_400
"""A leap year: as far ahead as an orbit is planned, and far from what 64 bits of ns hold."""
SSO_BELOW_KM = 5974
"""Higher up no inclination makes the plane of a circular orbit turn with the Sun."""
LEAST_SPAN_S = 1e-3
"""Shortest contact, outage, handover period; shorter ones round to nothing or never end."""
NAME_LENGTH = 100
DAYS = (datetime(1957, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
"""Dates lie between these: the first is that of the oldest two-line elements."""


def _short_enough(text: str) -> str:
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"at most {MAX_TEXT_BYTES} bytes of UTF-8")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("one line of printable characters")
    return text


def zero_or(least: float) -> AfterValidator:
    """For a number that may be 0, which switches something off, but not next to it."""

    def check(value: float) -> float:
        if 0 < value < least:
            raise ValueError(f"0, or {least:g} or more")
        return value

    return AfterValidator(check)


def to_date(value: object) -> datetime:
    """A date of a TOML file, or an ISO 8601 text; without a zone it is UTC.

    Raises:
        ValueError: it is something else (a number is no date), or not in `DAYS`.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise ValueError("a date such as 2026-06-01T00:00:00Z")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if not DAYS[0] <= moment < DAYS[1]:
        raise ValueError(f"a date from {DAYS[0]:%Y-%m-%d} to {DAYS[1]:%Y-%m-%d}")
    return moment


_NOT_GIVEN: Any = None
Seconds = Annotated[float, Field(ge=0, le=MAX_S)]
Duration = Annotated[float, Field(ge=LEAST_SPAN_S, le=MAX_S)]
HourMs = Annotated[float, Field(ge=0, le=3_600_000)]
Watts = Annotated[float, Field(ge=0, le=1e6)]
Decibel = Annotated[float, Field(ge=0, le=300)]
Probability = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, AfterValidator(_short_enough)]
Megabytes = Annotated[int, Field(ge=0, le=10**9)]
Cores = Annotated[float, Field(ge=0, le=4096), zero_or(0.01)]
"""The kernel gives quotas of 1 ms in 100 ms, and no less."""
Line = Annotated[str, Field(max_length=4096), AfterValidator(_printable)]
"""A path, or a name that is looked up."""
Title = Annotated[str, Field(max_length=NAME_LENGTH), AfterValidator(_printable)]
Name = Annotated[Title, Field(min_length=1)]
Date = Annotated[datetime, BeforeValidator(to_date)]


class Section(BaseModel):
    """Unknown keys are refused, and so are infinity and what is no number; nothing changes
    afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


def wrong(key: str, expected: str, found: str) -> PydanticCustomError:
    """A mistake that concerns several keys, to be shown at one of them."""
    fields = {"key": key, "expected": expected, "found": found}
    return PydanticCustomError("wrong", "{key}: {expected}", fields)


class BurstLoss(Section):
    """`[link.*.burst]`: losses in bursts (Gilbert-Elliott), per frame."""

    p: Probability
    """From the good state into the bad one."""
    r: Annotated[float, Field(ge=1e-9, le=1)]
    """Back; a bad spell has 1 / r frames on average."""
    loss_good: Probability = 0.0
    """Of a frame in the good state."""
    loss_bad: Probability = 1.0
    """Of a frame in the bad one."""


class Fade(Section):
    """`[link.*.fade]`: slow attenuation by rain; above the margin everything is lost, silently."""

    mean_db: Decibel
    """Attenuation on average."""
    sigma_db: Decibel
    """Its standard deviation."""
    time_constant_s: Duration
    """How slowly it changes."""
    margin_db: Decibel
    """What the link can spare."""


class Handover(Section):
    """`[link.*.handover]`: every so often a moment with losses, silently."""

    every_s: Duration
    """From one to the next."""
    offset_s: Seconds = 0.0
    """Of the first."""
    burst_ms: HourMs
    """How long frames are lost."""
    loss: Probability = 1.0
    """Of a frame meanwhile."""


class Direction(Section):
    """`[link.uplink]` and `[link.downlink]`."""

    budget: LinkBudget | None = None
    """The rate follows from the range; without it `rate_bps` holds all the time."""
    rate_bps: int = Field(default=_NOT_GIVEN, gt=0, le=10**12, validate_default=True)
    """With a budget the most that the modem does; by default its fastest modcod's rate."""
    one_way_delay_ms: HourMs
    """Light time; added to that of the range, where there is one."""
    trace: Line = ""
    """A measured link: a file with rate, delay and loss over time, which count instead of
    `rate_bps` and `one_way_delay_ms` (docs/link.md); these are what both ends expect."""
    trace_then: Literal["repeat", "end"] = "repeat"
    """At its end it begins anew, or the direction closes."""
    trace_between: Literal["step", "linear"] = "step"
    """Between its rows: the one before holds, or a straight line."""
    loss: Probability = 0.0
    """Probability that a frame vanishes, each frame on its own."""
    burst: BurstLoss | None = None
    bit_error_rate: Annotated[float, Field(ge=0, le=0.5), zero_or(1e-15)] = 0.0
    """Frames arrive with bits inverted: the check of bundles and their signatures find it."""
    frame_check: bool = False
    """The modem drops frames with bit errors, as one with a checksum of its own does."""
    duplication: Probability = 0.0
    """Probability that a frame arrives twice."""
    jitter_ms: HourMs = 0.0
    """Frames arrive up to this much later than light, each on its own: they may overtake."""
    fade: Fade | None = None
    handover: Handover | None = None
    queue_bytes: int = Field(default=65_536, gt=0, le=10**12)
    """The modem's: a frame that finds it full is lost."""
    mtu_bytes: int = Field(default=1_400, ge=LEAST_MTU_BYTES, le=65_000)
    """Longest frame."""

    @field_validator("rate_bps", mode="before")
    @classmethod
    def _by_the_budget(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not _NOT_GIVEN:
            return value
        budget: LinkBudget | None = info.data.get("budget")
        if budget is None:
            raise PydanticCustomError("missing", "a rate, or a [budget] from which it follows")
        return budget.fastest_bps

    @model_serializer(mode="wrap")
    def _without_what_follows(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that a budget that is changed afterwards is not held to the rate of the old one."""
        table: dict[str, Any] = handler(self)
        if self.budget is not None and self.rate_bps == self.budget.fastest_bps:
            del table["rate_bps"]
        return table

    @model_validator(mode="after")
    def _has_a_modcod(self) -> Direction:
        if self.budget and all(
            self.budget.rate_bps(m) > self.rate_bps for m in self.budget.modcods
        ):
            raise ValueError("rate_bps, the modem's highest, must not be below all modcods'")
        return self

    @property
    def one_way_ns(self) -> int:
        """Propagation delay in ns."""
        return ms_to_ns(self.one_way_delay_ms)


class LinkConfig(Section):
    """`[link]`."""

    uplink: Direction
    downlink: Direction
    frame_log: bool = True
    """Write `frames.jsonl`, the fate of every frame."""

    @model_validator(mode="after")
    def _queue_holds_a_frame(self) -> LinkConfig:
        for name in ("uplink", "downlink"):
            direction: Direction = getattr(self, name)
            if direction.queue_bytes < direction.mtu_bytes:
                raise ValueError(f"{name}.queue_bytes must hold one frame of mtu_bytes")
        return self


class _Span(Section):
    start_s: Seconds
    """From the plan's zero on."""
    end_s: Duration
    """The first moment after it."""

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end_s - self.start_s < LEAST_SPAN_S * (1 - 1e-6):
            raise ValueError(f"end_s must be {LEAST_SPAN_S:g} s or more after start_s")
        return self


class ContactConfig(_Span):
    """`[[contact]]`: both directions are open from `start_s` to `end_s`."""

    station: Title = ""
    """For the record."""
    satellite: Title = ""
    """For the record."""
    max_elevation_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """For the record."""
    ranges_km: tuple[Annotated[float, Field(ge=1e-3, le=1e9)], ...] = ()
    """Evenly from start to end: their light time is added to `one_way_delay_ms`."""

    @model_validator(mode="after")
    def _at_least_two(self) -> ContactConfig:
        if len(self.ranges_km) == 1:
            raise ValueError("ranges_km must be two or more, from start to end")
        return self


class OrbitConfig(Section):
    """`[orbit]`: contacts come from satellites and stations."""

    start: Date
    """The plan's zero; UTC if it names no zone. In a file also "now"."""
    hours: Annotated[float, Field(ge=0.01, le=MAX_S / 3600)]
    """Length of the plan."""


class SatelliteConfig(Section):
    """`[[satellite]]`: a two-line element set, or a circular orbit at `orbit.start`."""

    name: Name
    """Its own among satellites."""
    tle: tuple[str, ...] = ()
    """The two lines, or three with a name."""
    altitude_km: Annotated[float, Field(gt=100, le=400_000)] | None = None
    """Of a circular orbit, instead of `tle`, and so are all below."""
    inclination_deg: Annotated[float, Field(ge=0, le=180)] | Literal["sso"] = "sso"
    """`sso`: that of a Sun-synchronous orbit."""
    raan_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """Right ascension of the ascending node."""
    phase_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """How far past the ascending node."""

    @model_validator(mode="after")
    def _one_of_both(self) -> SatelliteConfig:
        if bool(self.tle) == (self.altitude_km is not None):
            raise ValueError("either tle or altitude_km")
        if self.inclination_deg == "sso" and (self.altitude_km or 0) >= SSO_BELOW_KM:
            raise ValueError(f"an altitude_km below {SSO_BELOW_KM} for an inclination_deg of sso")
        return self


class StationConfig(Section):
    """`[[station]]`."""

    name: Name
    """Its own among stations."""
    lat_deg: Annotated[float, Field(ge=-90, le=90)]
    """North is positive."""
    lon_deg: Annotated[float, Field(ge=-180, le=360)]
    """East is positive."""
    alt_m: Annotated[float, Field(ge=-500, le=10_000)] = 0.0
    """Above the ellipsoid (WGS 84)."""
    min_elevation_deg: Annotated[float, Field(ge=0, lt=90)] = 10.0
    """Lower than this it cannot be reached."""


class OutageConfig(_Span):
    """`[[outage]]`."""

    kind: Literal["planned", "cued", "silent", "stuck"]
    """In the contact plan; told by the modems when it happens; told to nobody; or told to nobody
    while the modem keeps all frames until it is over."""
    direction: Literal["uplink", "downlink", "both"] = "both"
    """Which is gone."""


class BudgetConfig(Section):
    """`[budget]`."""

    loop_s: Duration = 120.0
    """An answer that takes longer is late."""
    objective: Probability = 0.95
    """Share of questions to be answered on time and right."""
    expire_s: Duration = 600.0
    """The ground stops waiting this long after a question was intended."""

    @model_validator(mode="after")
    def _expires_after_the_budget(self) -> BudgetConfig:
        if self.expire_s < self.loop_s:
            raise ValueError("expire_s must not be less than loop_s")
        return self

    def budget(self) -> Budget:
        """In ns."""
        return Budget(s_to_ns(self.loop_s), s_to_ns(self.expire_s), self.objective)
