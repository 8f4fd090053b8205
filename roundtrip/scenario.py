"""A scenario: its sections together, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import (
    Field,
    model_validator,
)

from roundtrip.config import (
    LIGHT_KM_S,
    BudgetConfig,
    ContactConfig,
    Direction,
    LinkConfig,
    OrbitConfig,
    OutageConfig,
    SatelliteConfig,
    Section,
    StationConfig,
    Text,
    Title,
    wrong,
)
from roundtrip.contacts import FOREVER_NS, Contact, ContactPlan, LightTime, Rate, Windows
from roundtrip.link_budget import Ladder, Step
from roundtrip.link_trace import TraceDelay, TraceRate, of_time, read_trace
from roundtrip.modem import Side
from roundtrip.node_config import NodeConfig
from roundtrip.onboard import SEE_CAMERA
from roundtrip.units import NS_PER_S, s_to_ns
from roundtrip.upload_config import UploadConfig
from roundtrip.workload_config import WorkloadConfig


class Scenario(Section):
    """One scenario file."""

    name: Title = ""
    """Without one, that of the file."""
    description: Text = ""
    """What a report says of it."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Of all that is drawn at random."""
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
    upload: UploadConfig | None = None
    """None: nothing goes up besides."""

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
                    raise wrong(f"{kind}.{index}.name", "a name of its own", f"{name!r} again")
        on = self.node.satellite
        if on and on not in [satellite.name for satellite in self.satellite]:
            known = ", ".join(satellite.name for satellite in self.satellite) or "none"
            raise wrong("node.satellite", f"the name of a [[satellite]] ({known})", repr(on))
        return self

    @model_validator(mode="after")
    def _has_what_is_to_be_seen(self) -> Scenario:
        node, workload = self.node, self.workload
        asked = [("workload", workload.see, workload.tools)]
        asked += [
            (f"workload.questions.{place}", question.see or (), question.tools or ())
            for place, question in enumerate(workload.questions)
        ]
        allowed = node.tools.allow if node.tools is not None else ()
        for key, see, tools in asked:
            camera = [name for name in see if name.startswith(SEE_CAMERA)]
            if camera and node.camera is None:
                raise wrong(f"{key}.see", "a [node.camera] that has it", repr(camera[0]))
            if len(camera) < len(see) and node.telemetry is None:
                raise wrong(f"{key}.see", "a [node.telemetry] that has it", "none")
            if missing := [name for name in tools if name not in allowed]:
                known = ", ".join(allowed) or "none"
                raise wrong(f"{key}.tools", f"of node.tools.allow ({known})", repr(missing[0]))
        return self

    @model_validator(mode="after")
    def _budgets_have_ranges(self) -> Scenario:
        ranged = all(contact.ranges_km for contact in self.contact)
        if ranged if self.contact else self.orbit:
            return self
        for name in ("uplink", "downlink"):
            if getattr(self.link, name).budget is not None:
                raise wrong(
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
                raise wrong(
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
        direction: Direction = getattr(self.link, name)
        open_ns = FOREVER_NS
        if direction.trace and direction.trace_then == "end":
            open_ns = read_trace(direction.trace).length_ns
        if not self.contact:
            return Windows([(0, open_ns)])
        steps = (step for step in self.rate_steps(name) if step.rate_bps)
        spans = ((step.start_ns, min(step.end_ns, open_ns)) for step in steps)
        return Windows(span for span in spans if span[0] < span[1])

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

    def rate(self, name: str) -> Rate | TraceRate:
        """Of one direction, as it is."""
        direction: Direction = getattr(self.link, name)
        if direction.trace and (trace := read_trace(direction.trace)).rates_bps:
            return TraceRate(trace, **_ways(direction))
        return self._known_rate(name)

    def _known_rate(self, name: str) -> Rate:
        """Of one direction, as it changes with the range: what both ends expect."""
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
            owlt, rate = farthest or direction.one_way_ns, self._known_rate(name)
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
        least_ns = sum(self.light_time(name).least_ns for name in ("uplink", "downlink"))
        light_s = least_ns / NS_PER_S
        if light_s <= self.budget.loop_s:
            return ""
        return (
            f"light alone takes {light_s:.0f} s there and back, the budget is "
            f"{self.budget.loop_s:g} s: no answer can be on time"
        )

    def light_time(self, name: str) -> LightTime | TraceDelay:
        """Of one direction ("uplink" or "downlink"), as it changes with the range, or was
        measured."""
        direction: Direction = getattr(self.link, name)
        if direction.trace and (trace := read_trace(direction.trace)).delays_ns:
            return TraceDelay(trace, **_ways(direction))
        return LightTime(self._ranged(direction), direction.one_way_ns)

    def traced_loss(self, name: str) -> Callable[[int], float] | None:
        """Share of frames that get lost at a time, as it was measured; None where it was not."""
        direction: Direction = getattr(self.link, name)
        if not direction.trace or not (trace := read_trace(direction.trace)).losses:
            return None
        return of_time(trace, trace.losses, **_ways(direction))

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


def _ways(direction: Direction) -> dict[str, bool]:
    """How the trace of a direction is read."""
    linear = direction.trace_between == "linear"
    return {"repeat": direction.trace_then == "repeat", "linear": linear}
