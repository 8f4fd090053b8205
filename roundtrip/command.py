"""The edge of every command: errors become one line on stderr and an exit code, never a
traceback (but for an error of our own making, with GROUNDLOOP_TRACEBACK set).

Every command imports this first, so it imports little itself.
"""

from __future__ import annotations

import io
import math
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from roundtrip.errors import EXIT_FAILURE, BadConfig, GroundloopError
from roundtrip.say import say

if TYPE_CHECKING:
    from dtn.bpsec.security import Security
    from roundtrip.modem import Side
    from roundtrip.scenario import Scenario

SHIPPED = Path(__file__).parent.parent / "testbed" / "scenarios"


class Number(click.FloatRange):
    """A number of a range; neither infinity nor what is none, which compare with nothing."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number of that range", param, ctx)
        return number


class Day(click.ParamType[Any]):
    """A date, as scenarios have it."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from roundtrip.config import to_date

        try:
            return to_date(value)
        except ValueError as error:
            self.fail(f"{value!r} is not {error}", param, ctx)


class _ScenarioPath(click.ParamType[Path]):
    """A scenario file, or the name of a shipped one."""

    name = "scenario"

    def convert(self, value: Any, param: object, ctx: object) -> Path:
        if isinstance(value, Path) or value.endswith(".toml") or "/" in value:
            return Path(value)
        path = SHIPPED / f"{value}.toml"
        if not path.exists():
            known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.toml")))
            raise BadConfig(value, "", f"a scenario file or one of {known}", "neither")
        return path


def security_of(side: Side, *, plain: bool) -> Security | None:
    """What a live end secures its bundles with: the key file, made if there is none.

    Raises:
        BadConfig, EnvironmentFault: as `load_or_make_keys`.
    """
    if plain:
        return None
    from roundtrip.drive.entropy import system_bytes
    from roundtrip.keys import keys_path, link_security, load_or_make_keys

    keys = load_or_make_keys(keys_path(os.environ), system_bytes)
    return link_security(keys, side, random_bytes=system_bytes)


PLAIN_KEY = b"plain"
"""Signs what goes over a link without keys, where anybody may."""


def signing_keys(*, plain: bool) -> tuple[bytes, ...]:
    """What manifests of uploads are signed with, the one that sends first.

    Raises:
        BadConfig, EnvironmentFault: as `load_or_make_keys`.
    """
    if plain:
        return (PLAIN_KEY,)
    from roundtrip.drive.entropy import system_bytes
    from roundtrip.keys import keys_path, load_or_make_keys

    return load_or_make_keys(keys_path(os.environ), system_bytes).signing


def warn(scenario: Scenario, source: str) -> None:
    """Say on stderr what an operator should know before a run: answers that cannot be on time, and
    orbital elements that are too old."""
    found = [scenario.out_of_reach] if scenario.out_of_reach else []
    if any(satellite.tle for satellite in scenario.satellite):
        from roundtrip.passes import warnings_of

        found += warnings_of(scenario, source)
    for warning in found:
        say(f"warning: {warning}", err=True)


PLAIN = click.option(
    "--plain", is_flag=True, help="Neither sign nor encrypt; the other end must do the same."
)
GROUNDS_LINK = click.option(
    "--link",
    "endpoint",
    required=True,
    help="The modem, such as tcp://127.0.0.1:5560, or the node itself, udp://HOST:1113.",
)
LISTEN = click.option(
    "--listen", default=":1113", show_default=True, help="Our address, for a link over UDP."
)
UNTRUSTED_CLOCK = click.option(
    "--untrusted-clock",
    is_flag=True,
    help="This machine does not know the time (no NTP): bundles go by their age instead.",
)
SCENARIO = _ScenarioPath()
SEED = click.IntRange(min=0, max=2**63 - 1)


def run_command(command: click.Command) -> NoReturn:
    """Run a click command as a program, and exit.

    Usage errors exit with 2, as click has it; our own errors with their `exit_code`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        result = command.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except GroundloopError as error:
        say(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("stopped", err=True)
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        say(f"error: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(EXIT_FAILURE)
    except Exception as error:  # noqa: BLE001 - the last resort
        if os.environ.get("GROUNDLOOP_TRACEBACK"):
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        where = f"{Path(place.filename).name}:{place.lineno}"
        say(f"error: internal, please report: {what} ({where})", err=True)
        sys.exit(EXIT_FAILURE)
