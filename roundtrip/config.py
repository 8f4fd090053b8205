"""What a scenario may say: its sections, their ranges, and what follows from them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from roundtrip.budget import Budget
from roundtrip.contacts import FOREVER_NS, Contact, ContactPlan, LightTime, Rate, Windows
from roundtrip.link_budget import Ladder, LinkBudget, Step
from roundtrip.message import MAX_TEXT_BYTES, Sampling
from roundtrip.modem import Side
from roundtrip.units import NS_PER_S, ms_to_ns, s_to_ns

LIGHT_KM_S = 299_792.458


def _short_enough(text: str) -> str:
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"at most {MAX_TEXT_BYTES} bytes of UTF-8")
    return text


_NOT_GIVEN: Any = None
MAX_S = 1e9
"""About 31 years: what fits into 64 bits of ns, with room to add a few."""
Seconds = Annotated[float, Field(ge=0, le=MAX_S, allow_inf_nan=False)]
Duration = Annotated[float, Field(gt=0, le=MAX_S, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(_short_enough)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _wrong(key: str, expected: str, found: str) -> PydanticCustomError:
    """A mistake that concerns several keys, to be shown at one of them."""
    fields = {"key": key, "expected": expected, "found": found}
    return PydanticCustomError("wrong", "{key}: {expected}", fields)


class BurstLoss(_Section):
    """`[link.*.burst]`: losses in bursts (Gilbert-Elliott), per frame."""

    p: Probability
    """From the good state into the bad one."""
    r: Annotated[float, Field(gt=0, le=1)]
    """Back; a bad spell has 1 / r frames on average."""
    loss_good: Probability = 0.0
    loss_bad: Probability = 1.0


class Fade(_Section):
    """`[link.*.fade]`: slow attenuation by rain; above the margin everything is lost, silently."""

    mean_db: NotNegative
    sigma_db: NotNegative
    time_constant_s: Duration
    margin_db: NotNegative


class Handover(_Section):
    """`[link.*.handover]`: every so often a moment with losses, silently."""

    every_s: Duration
    offset_s: Seconds = 0.0
    burst_ms: NotNegative
    loss: Probability = 1.0


class Direction(_Section):
    """`[link.uplink]` and `[link.downlink]`."""

    budget: LinkBudget | None = None
    """The rate follows from the range; without it `rate_bps` holds all the time."""
    rate_bps: int = Field(default=_NOT_GIVEN, gt=0, le=10**12, validate_default=True)
    """With a budget the most that the modem does; by default its fastest modcod's rate."""
    one_way_delay_ms: NotNegative = Field(le=3_600_000)
    loss: Probability = 0.0
    """Probability that a frame vanishes, each frame on its own."""
    burst: BurstLoss | None = None
    bit_error_rate: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Frames arrive with bits inverted: the check of bundles and their signatures find it."""
    frame_check: bool = False
    """The modem drops frames with bit errors, as one with a checksum of its own does."""
    duplication: Probability = 0.0
    """Probability that a frame arrives twice."""
    jitter_ms: NotNegative = Field(default=0.0, le=3_600_000)
    """Frames arrive up to this much later than light, each on its own: they may overtake."""
    fade: Fade | None = None
    handover: Handover | None = None
    queue_bytes: int = Field(default=65_536, gt=0)
    mtu_bytes: int = Field(default=1_400, ge=64, le=65_000)

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


class LinkConfig(_Section):
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


class _Span(_Section):
    start_s: Seconds
    end_s: Duration

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError("end_s must be after start_s")
        return self


class ContactConfig(_Span):
    """`[[contact]]`: both directions are open from `start_s` to `end_s`."""

    station: str = ""
    satellite: str = ""
    max_elevation_deg: float | None = None
    ranges_km: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = ()
    """Evenly from start to end: their light time is added to `one_way_delay_ms`."""

    @model_validator(mode="after")
    def _at_least_two(self) -> ContactConfig:
        if len(self.ranges_km) == 1:
            raise ValueError("ranges_km must be two or more, from start to end")
        return self


class OrbitConfig(_Section):
    """`[orbit]`: contacts come from satellites and stations."""

    start: datetime
    """The plan's zero; UTC if it names no zone."""
    hours: Annotated[float, Field(gt=0, le=24 * 366)]


class SatelliteConfig(_Section):
    """`[[satellite]]`: a two-line element set, or a circular orbit at `orbit.start`."""

    name: str = Field(min_length=1)
    tle: tuple[str, ...] = ()
    altitude_km: Annotated[float, Field(gt=100, le=400_000)] | None = None
    inclination_deg: Annotated[float, Field(ge=0, le=180)] | Literal["sso"] = "sso"
    raan_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
    phase_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> SatelliteConfig:
        if bool(self.tle) == (self.altitude_km is not None):
            raise ValueError("either tle or altitude_km")
        return self


class StationConfig(_Section):
    """`[[station]]`."""

    name: str = Field(min_length=1)
    lat_deg: Annotated[float, Field(ge=-90, le=90)]
    lon_deg: Annotated[float, Field(ge=-180, le=360)]
    alt_m: Annotated[float, Field(ge=-500, le=10_000)] = 0.0
    min_elevation_deg: Annotated[float, Field(ge=0, lt=90)] = 10.0


class OutageConfig(_Span):
    """`[[outage]]`."""

    kind: Literal["planned", "cued", "silent", "stuck"]
    """In the contact plan; told by the modems when it happens; told to nobody; or told to nobody
    while the modem keeps all frames until it is over."""
    direction: Literal["uplink", "downlink", "both"] = "both"


class QuestionConfig(_Section):
    """One entry of `workload.questions`; a bare text is one without `expected`."""

    text: Annotated[Text, Field(min_length=1)]
    expected: str | None = None
    """The one right answer, where there is one."""

    @model_validator(mode="before")
    @classmethod
    def _bare_text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class WorkloadConfig(_Section):
    """`[workload]`."""

    questions: tuple[QuestionConfig, ...] = ()
    questions_file: str | None = None
    """Relative to the scenario file. One question a line; in a `.jsonl` file one JSON object a
    line, with `text` and, where there is one right answer, `expected`."""
    system: Text = ""
    arrivals: Literal["fixed", "poisson"] = "fixed"
    rate_per_min: float = Field(default=6.0, ge=1e-3, le=1e6, allow_inf_nan=False)
    count: int = Field(gt=0, le=1_000_000)
    start_s: Seconds = 0.0
    max_tokens: int = Field(default=64, gt=0, le=32_768)
    temperature: NotNegative = Field(default=0.7, le=10)
    """0 is greedy; 0.7, top_p 0.8, top_k 20 are Qwen3's for answers without thinking."""
    top_p: Probability = 0.8
    top_k: int = Field(default=20, ge=0, le=1 << 20)
    thinking: Literal["off", "on"] = "off"
    max_outstanding: int = Field(default=256, gt=0, le=100_000)
    """More questions than this wait in the ground's queue."""

    @property
    def sampling(self) -> Sampling:
        """As the messages carry it; the seed is set per question."""
        return Sampling(self.temperature, self.top_p, self.top_k)


class BudgetConfig(_Section):
    """`[budget]`."""

    loop_s: Duration = 120.0
    objective: Probability = 0.95
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


class NodeConfig(_Section):
    """`[node]`."""

    satellite: str = ""
    """Which `[[satellite]]` it is on, by name; the first where none is given."""
    model: str = "builtin"
    """A GGUF file (relative to the scenario file), or a name that `groundloop models` knows."""
    threads: int = Field(default=0, ge=0, le=1024)
    """0: one per physical core."""
    memory_mb: int = Field(default=0, ge=0)
    """0: no limit of ours."""
    context: int = Field(default=2048, ge=64, le=1_048_576)
    queue: int = Field(default=256, gt=0, le=100_000)
    """Questions waiting on board; more are refused with `queue_full`."""
    profile: str = "builtin"
    """Service times in virtual time: a name in node/profiles, or a file."""


class Scenario(_Section):
    """One scenario file."""

    name: str = ""
    description: str = ""
    seed: int = Field(default=1, ge=0, lt=2**63)
    link: LinkConfig
    orbit: OrbitConfig | None = None
    satellite: tuple[SatelliteConfig, ...] = ()
    """The node is on `node.satellite`, or the first."""
    station: tuple[StationConfig, ...] = ()
    contact: tuple[ContactConfig, ...] = ()
    """None: the link is always open, or as `orbit` says."""
    outage: tuple[OutageConfig, ...] = ()
    workload: WorkloadConfig
    budget: BudgetConfig = BudgetConfig()
    node: NodeConfig = NodeConfig()

    @model_validator(mode="after")
    def _orbit_is_whole(self) -> Scenario:
        given = [bool(self.orbit), bool(self.satellite), bool(self.station)]
        if any(given) and not all(given):
            raise ValueError("orbit, satellite and station go together")
        return self

    @model_validator(mode="after")
    def _names_are_clear(self) -> Scenario:
        for kind, sections in (("satellite", self.satellite), ("station", self.station)):
            names = [section.name for section in sections]
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise _wrong(f"{kind}.{index}.name", "a name of its own", f"{name!r} again")
        on = self.node.satellite
        if on and on not in [satellite.name for satellite in self.satellite]:
            known = ", ".join(satellite.name for satellite in self.satellite) or "none"
            raise _wrong("node.satellite", f"the name of a [[satellite]] ({known})", repr(on))
        return self

    @model_validator(mode="after")
    def _budgets_have_ranges(self) -> Scenario:
        ranged = all(contact.ranges_km for contact in self.contact)
        if ranged if self.contact else self.orbit:
            return self
        for name in ("uplink", "downlink"):
            if getattr(self.link, name).budget is not None:
                raise _wrong(
                    f"link.{name}.budget",
                    "an [orbit] with [[satellite]] and [[station]], or ranges_km in every "
                    "[[contact]], from which the range follows",
                    "neither",
                )
        return self

    @model_validator(mode="after")
    def _contacts_are_apart(self) -> Scenario:
        previous: ContactConfig | None = None
        for index, contact in enumerate(self.contact):
            if previous is not None and contact.start_s < previous.end_s:
                raise _wrong(
                    f"contact.{index}.start_s",
                    f"{previous.end_s:g} or more, when contact.{index - 1} ends: contacts are in "
                    "order and do not overlap",
                    f"{contact.start_s:g}",
                )
            previous = contact
        return self

    @property
    def node_satellite(self) -> SatelliteConfig | None:
        """The satellite that the node is on; None without an orbit."""
        named = [one for one in self.satellite if one.name == self.node.satellite]
        return next(iter(named or self.satellite), None)

    def contact_windows(self, name: str) -> Windows:
        """When one direction ("uplink" or "downlink") is open, planned outages not taken out."""
        if not self.contact:
            return Windows([(0, FOREVER_NS)])
        return Windows((s.start_ns, s.end_ns) for s in self.rate_steps(name) if s.rate_bps)

    def rate_steps(self, name: str) -> list[Step]:
        """How the rate of one direction changes over the contacts."""
        direction: Direction = getattr(self.link, name)
        spans = [(s_to_ns(c.start_s), s_to_ns(c.end_s)) for c in self.contact]
        if direction.budget is None:
            return [Step(start, end, direction.rate_bps, "") for start, end in spans]
        ladder = Ladder(direction.budget, direction.rate_bps)
        return [
            step
            for contact, (start, end) in zip(self.contact, spans, strict=True)
            for step in ladder.steps(contact.ranges_km, start, end)
        ]

    def rate(self, name: str) -> Rate:
        """Of one direction, as it changes with the range."""
        direction: Direction = getattr(self.link, name)
        if direction.budget is None:
            return Rate([(0, direction.rate_bps)])
        found = [(s.start_ns, s.rate_bps) for s in self.rate_steps(name) if s.rate_bps]
        return Rate(found or [(0, direction.rate_bps)])

    def outages(self, direction: str, *kinds: str) -> Windows:
        """The outages of one direction ("uplink" or "downlink"), of the given kinds."""
        return Windows(
            (s_to_ns(o.start_s), s_to_ns(o.end_s))
            for o in self.outage
            if o.kind in kinds and o.direction in (direction, "both")
        )

    def plan(self) -> ContactPlan:
        """What both ends know in advance."""
        contacts: list[Contact] = []
        ends = {"uplink": (Side.GROUND, Side.NODE), "downlink": (Side.NODE, Side.GROUND)}
        for name, (source, dest) in ends.items():
            direction: Direction = getattr(self.link, name)
            windows = self.contact_windows(name).minus(self.outages(name, "planned"))
            farthest = max((contact.owlt for contact in self._ranged(direction)), default=0)
            owlt, rate = farthest or direction.one_way_ns, self.rate(name)
            contacts.extend(
                Contact(source.value, dest.value, start, end, rate_bps, owlt)
                for span in windows.spans
                for start, end, rate_bps in rate.pieces(*span)
            )
        return ContactPlan(contacts)

    @property
    def out_of_reach(self) -> str:
        """Why no answer can be on time, whatever happens; empty where one can."""
        for name in ("uplink", "downlink"):
            if not self.contact_windows(name).spans:
                return f"link.{name}.budget closes at no moment: no question can be answered"
        light_s = (
            sum(
                min(
                    (min(contact.owlts) for contact in self._ranged(way) if contact.owlts),
                    default=0,
                )
                or way.one_way_ns
                for way in (self.link.uplink, self.link.downlink)
            )
            / NS_PER_S
        )
        if light_s <= self.budget.loop_s:
            return ""
        return (
            f"light alone takes {light_s:.0f} s there and back, the budget is "
            f"{self.budget.loop_s:g} s: no answer can be on time"
        )

    def light_time(self, name: str) -> LightTime:
        """Of one direction ("uplink" or "downlink"), as it changes with the range."""
        direction: Direction = getattr(self.link, name)
        return LightTime(self._ranged(direction), direction.one_way_ns)

    def _ranged(self, direction: Direction) -> list[Contact]:
        found: list[Contact] = []
        for contact in self.contact:
            owlts = tuple(
                direction.one_way_ns + round(range_km / LIGHT_KM_S * NS_PER_S)
                for range_km in contact.ranges_km
            )
            found.append(
                Contact(
                    "", "", s_to_ns(contact.start_s), s_to_ns(contact.end_s), direction.rate_bps,
                    max(owlts, default=direction.one_way_ns), owlts,
                )
            )  # fmt: skip
        return found
