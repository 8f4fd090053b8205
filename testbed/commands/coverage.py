"""`groundloop coverage`: how many satellites and stations it takes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.table import Table

from roundtrip.command import Day, Number
from roundtrip.config import MAX_S, StationConfig
from roundtrip.files import bad_config, read_toml
from roundtrip.orbit import Station, julian
from roundtrip.say import say_json
from roundtrip.screen import Screen
from roundtrip.words import count, shown
from testbed.coverage import Constellation, Coverage, coverage

STATIONS = Path(__file__).parents[2] / "link_sim" / "presets" / "stations.toml"


class _StationFile(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    station: tuple[StationConfig, ...] = Field(min_length=1)


@click.command("coverage")
@click.option("--satellites", type=click.IntRange(1, 20_000), default=24, show_default=True)
@click.option("--planes", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--phasing", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--altitude", type=Number(200, 40_000), default=550.0, show_default=True)
@click.option("--inclination", default="sso", show_default=True, help="Degrees, or sso.")
@click.option("--star", is_flag=True, help="Planes over 180 degrees instead of 360.")
@click.option(
    "--stations",
    type=click.Path(path_type=Path, dir_okay=False),
    default=STATIONS,
    help="TOML with [[station]].  [default: 30 places]",
)
@click.option("--first", type=click.IntRange(min=1), help="Only that many stations of the file.")
@click.option("--start", type=Day(), default="2026-06-01", show_default=True)
@click.option("--hours", type=Number(1, 24 * 31), default=24.0, show_default=True)
@click.option("--budget", "budget_s", type=Number(1, MAX_S), default=120.0, show_default=True)
@click.option(
    "--service",
    "service_s",
    type=Number(0.1, 86_400),
    default=5.0,
    show_default=True,
    help="Seconds for uplink, inference and downlink.",
)
@click.option("--step", "step_s", type=Number(1, 60), default=10.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def coverage_command(
    satellites: int,
    planes: int,
    phasing: int,
    altitude: float,
    inclination: str,
    star: bool,
    stations: Path,
    first: int | None,
    start: datetime,
    hours: float,
    budget_s: float,
    service_s: float,
    step_s: float,
    as_json: bool,
) -> None:
    """How soon questions are answered over a day, by a Walker constellation over ground stations.

    Each station asks every --step seconds; the answer comes down at any station.

    Example: groundloop coverage --satellites 24 --planes 6
    """
    if satellites % planes:
        raise click.UsageError(f"--satellites {satellites} is no multiple of --planes {planes}")
    constellation = Constellation(
        satellites,
        planes,
        phasing % planes,
        altitude,
        -1.0 if inclination == "sso" else _degrees(inclination),
        180.0 if star else 360.0,
    )
    places = _stations(stations)[:first]
    start_jd = julian(start)
    found = coverage(
        constellation.satrecs(start_jd),
        places,
        start_jd=start_jd,
        hours=hours,
        service_s=service_s,
        step_s=step_s,
        tail_hours=14.0 if satellites <= 50 else 2.0,
    )
    if as_json:
        say_json(_fields(found, budget_s), indent=2)
    else:
        _print(Screen(), found, budget_s, satellites)


def _degrees(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 180:
        raise click.UsageError(f"--inclination {text} is neither 0 to 180 degrees nor sso")
    return value


def _stations(path: Path) -> list[Station]:
    table = read_toml(path, "a file of stations")
    try:
        configs = _StationFile.model_validate(table).station
    except ValidationError as error:
        raise bad_config(error, str(path)) from None
    return [Station(**config.model_dump()) for config in configs]


def _fields(found: Coverage, budget_s: float) -> dict[str, object]:
    shares = found.share_within(budget_s)
    return {
        "budget_s": budget_s,
        "share_within": float(shares.mean()),
        "answer_s": {f"p{round(q * 100)}": found.quantile(q) for q in (0.5, 0.9, 0.99)},
        "stations": {
            name: {"share_within": float(share), "in_sight": float(sight)}
            for name, share, sight in zip(found.stations, shares, found.in_sight, strict=True)
        },
        "step_s": found.step_s,
    }


def _print(console: Screen, found: Coverage, budget_s: float, satellites: int) -> None:
    shares = found.share_within(budget_s)
    table = Table(box=None, pad_edge=False)
    for name in ("station", f"within {budget_s:g} s", "satellite in sight"):
        table.add_column(name, justify="left" if name == "station" else "right")
    for name, share, sight in zip(found.stations, shares, found.in_sight, strict=True):
        table.add_row(shown(name), f"{share:.1%}", f"{sight:.1%}")
    console.print(table)
    quantiles = "   ".join(f"p{round(q * 100)} {found.quantile(q):.0f} s" for q in (0.5, 0.9, 0.99))
    console.print(
        f"{count(satellites, 'satellite')}, {count(len(found.stations), 'station')}: "
        f"{shares.mean():.2%} of "
        f"questions answered within {budget_s:g} s   {quantiles}   (to {found.step_s:g} s)",
        soft_wrap=True,
    )
