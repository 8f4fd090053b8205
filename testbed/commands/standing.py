"""`groundloop up | station`: a ground station that stands, and takes questions at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ground.books import Books
from ground.bulk.desk import Uplink
from ground.desk import Desk
from ground.history import History
from ground.notes import Notes
from ground.results.folder import folder_name, run_folder
from ground.sky import Sky
from ground.spans import spans_to
from ground.station import Asked, ask
from ground.web.access import Access, read_token
from ground.web.asked import Usual
from ground.web.server import Server
from ground.workload import asking_of
from node.engine.accept import accept_model, found
from roundtrip.command import (
    GROUNDS_LINK,
    LISTEN,
    PLAIN,
    SCENARIO,
    SEED,
    UNTRUSTED_CLOCK,
    Number,
    security_of,
    signing_keys,
    warn,
)
from roundtrip.config import MAX_S
from roundtrip.drive.realtime import run_async, stop_signals
from roundtrip.modem import Side
from roundtrip.say import say
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.words import shown
from testbed.commands.showing import UI, events_shown
from testbed.live import run_live

PORT = click.option(
    "--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0: any free."
)
HOST = click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that others reach needs --token-file.",
)
TOKEN = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the token that programs give as bearer and people as password.",
)
CERTIFICATE = click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM), for HTTPS."
)
KEY = click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM).")
NAME = click.option(
    "--name", "names", multiple=True, help="Host name by which the station is called besides."
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the ledger; a station that was stopped goes on.  [default: runs/station-…]",
)
RUN_PER = click.option(
    "--run-per",
    type=click.Choice(["hour", "day", "month", "all"]),
    default="day",
    show_default=True,
    help="Results are a run each: a folder with its report, named by the date (UTC).",
)


def access_options(command: Callable[..., int]) -> Callable[..., int]:
    """Options that say where the station listens, and for whom; the command gets an `Access`."""

    @wraps(command)
    def with_access(
        host: str,
        port: int,
        token_file: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        names: tuple[str, ...],
        **others: Any,
    ) -> int:
        token = None if token_file is None else read_token(token_file)
        access = Access(host, port, token, names, tls_cert, tls_key)
        return command(access=access, **others)

    for option in (NAME, KEY, CERTIFICATE, TOKEN, PORT, HOST):
        with_access = option(with_access)
    return with_access


OTEL = click.option(
    "--otel",
    envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
    help="Send a span for each question to this collector (OTLP over HTTP; extra `otel`).",
)
WORKLOAD = click.option("--workload", is_flag=True, help="Ask the scenario's workload as well.")


@click.command("up")
@click.argument("scenario", type=SCENARIO, default="geo-relay")
@click.option("--model", help="GGUF file or model name; overrides the scenario's.")
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@OUT
@access_options
@RUN_PER
@OTEL
@WORKLOAD
@UI
@PLAIN
def up_command(
    scenario: Path,
    model: str | None,
    seed: int | None,
    out: Path | None,
    access: Access,
    run_per: str,
    otel: str | None,
    workload: bool,
    ui: str,
    plain: bool,
) -> int:
    """Start link, node and a standing station on this machine, until Ctrl-C.

    Then, in another terminal: groundloop ask "Status?"

    Example: groundloop up leo-now --ui plain
    """
    loaded = _loaded(scenario, out)
    warn(loaded, str(scenario))
    name = loaded.node.model if model is None else model
    node = found(loaded.node, name)
    accept_model(node)
    loaded = loaded.model_copy(update={"node": node})
    seed = loaded.seed if seed is None else seed
    folder = run_folder(_place(out, loaded), loaded, seed)

    def start(
        console: Screen, stopped: asyncio.Event, desk: Desk, books: Books
    ) -> Awaitable[Asked]:
        return run_live(
            loaded,
            seed,
            folder,
            console,
            stopped,
            plain=plain,
            desk=desk,
            books=books,
            workload=workload,
        )

    books = Books(folder, _history(out, folder), loaded, seed, run_per)
    return _stand(loaded, seed, books, folder, access, ui, start, otel, plain=plain)


@click.command("station")
@click.argument("scenario", type=SCENARIO)
@GROUNDS_LINK
@LISTEN
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@OUT
@access_options
@RUN_PER
@OTEL
@WORKLOAD
@click.option(
    "--wait",
    "link_limit_s",
    type=Number(0, MAX_S),
    default=0.0,
    show_default=True,
    help="Seconds to wait for the link; 0: for ever.",
)
@UI
@PLAIN
@UNTRUSTED_CLOCK
def station_command(
    scenario: Path,
    endpoint: str,
    listen: str,
    seed: int | None,
    out: Path | None,
    access: Access,
    run_per: str,
    otel: str | None,
    workload: bool,
    link_limit_s: float,
    ui: str,
    plain: bool,
    untrusted_clock: bool,
) -> int:
    """Run a ground station that stands: questions may come at any time.

    Example: groundloop station leo-pass --link tcp://127.0.0.1:5560
    """
    loaded = _loaded(scenario, out)
    warn(loaded, str(scenario))
    seed = loaded.seed if seed is None else seed
    security = security_of(Side.GROUND, plain=plain)
    folder = run_folder(_place(out, loaded), loaded, seed)

    def start(
        console: Screen, stopped: asyncio.Event, desk: Desk, books: Books
    ) -> Awaitable[Asked]:
        console.print(f"waiting for the link at {shown(endpoint)}")
        return ask(
            loaded,
            seed,
            endpoint,
            folder,
            console,
            stopped,
            security=security,
            listen=listen,
            link_limit_s=link_limit_s or None,
            trusted_clock=not untrusted_clock,
            desk=desk,
            books=books,
            workload=workload,
        )

    books = Books(folder, _history(out, folder), loaded, seed, run_per)
    return _stand(loaded, seed, books, folder, access, ui, start, otel, plain=plain)


def _loaded(path: Path, out: Path | None) -> Scenario:
    """The scenario of a station; a plan that starts "now" began when its ledger did."""
    loaded = load_scenario(path)
    as_run = _place(out, loaded) / "scenario.toml"
    if loaded.orbit is None or not as_run.exists():
        return loaded
    begun = load_scenario(as_run).orbit
    if begun is None or begun.start == loaded.orbit.start:
        return loaded
    return load_scenario(path, now=begun.start)


def _place(out: Path | None, scenario: Scenario) -> Path:
    return out or Path("runs") / f"station-{folder_name(scenario.name)}"


def _history(out: Path | None, folder: Path) -> History:
    """Of all stations that are in `runs/`; of one elsewhere its own."""
    return History((folder.parent if out is None else folder) / "history.sqlite", say)


def _stand(
    scenario: Scenario,
    seed: int,
    books: Books,
    folder: Path,
    access: Access,
    ui: str,
    start: Callable[[Screen, asyncio.Event, Desk, Books], Awaitable[Asked]],
    otel: str | None,
    *,
    plain: bool,
) -> int:
    """Serve until Ctrl-C; what is open then goes on with the next start."""
    usual = Usual(asking_of(scenario.workload, run_id=0, seed=seed), scenario.budget.budget())

    async def serve() -> int:
        stopped = asyncio.Event()
        contacts, budget_s = scenario.plan().both, scenario.budget.loop_s
        desk = Desk(contacts, budget_s, books.history, Sky(scenario))
        keys, plan = signing_keys(plain=plain), scenario.plan()
        desk.uplink = Uplink(folder, keys, plan, desk.note, desk.upload, lambda: desk.health)
        spans = spans_to(otel) if otel else None
        if spans is not None:
            desk.watchers.append(lambda record: spans.settled(record, desk.model, desk.zero_unix_s))
        console = Screen(force_terminal=False) if ui == "plain" else Notes(desk.note)
        async with Server(desk, usual, access, folder) as server:
            desk.on_stand = server.resume
            console.print(f"station at {server.url}, ledger in {shown(folder)}")
            with stop_signals(stopped.set):
                name = f"{scenario.name} · {server.url.partition('//')[2]}"
                async with events_shown(ui, desk, name, stopped.set):
                    await start(console, stopped, desk, books)
        desk.uplink.close()
        if spans is not None:
            await asyncio.to_thread(spans.close)
        books.history.close()
        if ui != "none":
            Screen().print("stopped; what is open goes on when the station is started again")
        return 0

    return run_async(serve())
