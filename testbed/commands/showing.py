"""How a station that stands is shown where it runs: the whole terminal, lines, or JSON."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import click

from ground.desk import Desk
from roundtrip.drive.realtime import background
from roundtrip.errors import BadInput
from roundtrip.say import say_json
from roundtrip.screen import Screen


def _chosen(_: click.Context, __: click.Parameter, ui: str | None) -> str:
    able = Screen().is_full
    if ui == "full" and not able:
        raise BadInput("command line", "--ui full", "a terminal with a keyboard", "none")
    return ui or ("full" if able else "plain")


UI = click.option(
    "--ui",
    type=click.Choice(["full", "plain", "none"]),
    callback=_chosen,
    help="The whole terminal; lines; or every event as a line of JSON.  [default: full on a "
    "terminal, else plain]",
)


@contextlib.asynccontextmanager
async def events_shown(
    shows: str, desk: Desk, name: str, stop: Callable[[], None]
) -> AsyncIterator[None]:
    """While inside, the station's events are shown."""
    if shows == "full":
        from ground.terminal.full import AtTheDesk, FullScreen

        showing = background(FullScreen(AtTheDesk(desk), name, Screen(), stop).run())
    elif shows == "none":
        showing = background(_events_said(desk))
    else:
        showing = background(asyncio.sleep(0))
    try:
        yield
    finally:
        desk.ends()
        if shows == "full":
            showing.cancel()
        await asyncio.wait([showing])


async def _events_said(desk: Desk) -> None:
    async for event in desk.events(0):
        say_json(event)
