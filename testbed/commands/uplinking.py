"""`groundloop uplink`: a model, an adapter, a prompt or a document goes up to the node behind a
standing station."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from roundtrip.errors import BadInput
from roundtrip.files import read_toml
from roundtrip.say import say, say_json
from roundtrip.words import count, long_duration, percent, shown
from testbed.commands.station_client import PORT, answer_of, send_file

ORDERS = ("status", "pause", "resume", "cancel", "activate", "confirm", "rollback", "retire")


@click.command("uplink")
@click.argument("what", metavar="FILE|ORDER")
@click.option("--name", help="What it is called.  [default: the file's name]")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["model", "adapter", "prompt", "document"]),
    help="What it is.  [default: a model or a LoRA adapter, as a GGUF says of itself]",
)
@click.option(
    "--first",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A small model that goes up before it, and flies until it is there.",
)
@click.option(
    "--slot", type=click.Choice(["a", "b"]), help="Where it goes; else where nothing flies."
)
@click.option("--no-activate", is_flag=True, help="Let it fly only when it is told.")
@click.option("--force", is_flag=True, help="Also if it is older than what flies.")
@click.option("--least-tok-s", type=float, help="It must not write slower in its self-test.")
@click.option(
    "--canaries",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML: `system`, and [[canary]] with `text` and `expected`, which it must answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what the station says as JSON.")
@PORT
def uplink_command(
    what: str,
    name: str | None,
    kind: str | None,
    first: Path | None,
    slot: str | None,
    no_activate: bool,
    force: bool,
    least_tok_s: float | None,
    canaries: Path | None,
    as_json: bool,
    port: int,
) -> int:
    """Send a model up in the background, below every question.

    Or a LoRA adapter, a system prompt or a document; or see to the one that is going. It is copied
    to the station, goes up over as many passes as it takes, and flies after a self-test, on trial
    until the ground confirms it. ORDER is status, pause, resume, cancel, activate, confirm,
    rollback (from a trial) or retire (what the node was given flies instead).

    Example: groundloop uplink qwen3-0.6b-q4_k_m.gguf --slot b
    """
    if what in ORDERS:
        order = what.replace("rollback", "roll_back")
        path = "/api/uplink" if what == "status" else f"/api/uplink/{order}"
        told = answer_of(port, "GET" if what == "status" else "POST", path)
    else:
        file = Path(what)
        if not file.is_file():
            raise BadInput(what, "", f"a file, or one of {', '.join(ORDERS)}", "neither")
        options: dict[str, Any] = {"name": name or file.stem, "activate": not no_activate}
        if slot is not None:
            options["slot"] = slot
        if force:
            options["force"] = True
        if least_tok_s is not None:
            options["least_tok_s"] = least_tok_s
        if canaries is not None:
            options |= _canaries(canaries)
        if kind is not None:
            options["kind"] = kind
        path = "/api/uplink/file"
        if first is not None:
            send_file(port, path, first)
            answer_of(port, "POST", "/api/uplink", {"name": first.stem})
            path, options["after"] = f"{path}?after=1", True
        send_file(port, path, file)
        told = answer_of(port, "POST", "/api/uplink", options)
    if as_json:
        say_json(told)
    else:
        _say(told)
    return 0


def _canaries(path: Path) -> dict[str, Any]:
    table = read_toml(path, "a file of canaries")
    unknown = set(table) - {"system", "canary"}
    if unknown:
        raise BadInput(str(path), sorted(unknown)[0], "system or canary", "it")
    return {"system": table.get("system", ""), "canaries": table.get("canary", [])}


def _say(told: dict[str, Any]) -> None:
    if told["state"] == "none":
        say("no upload")
        return
    detail = f": {shown(told['detail'], 200)}" if told["detail"] else ""
    say(f"{shown(told['name'], 60)}  {told['state'].replace('_', ' ')}{detail}")
    say(
        f"{told['bytes_there']:,} of {told['bytes']:,} bytes on board ({percent(told['share'])}), "
        f"{told['bytes_sent']:,} sent, {count(told['passes'], 'pass', 'passes')}"
    )
    if told["whole_in_passes"]:
        when = "beyond the plan"
        if told["whole_at_s"] is not None:
            when = f"at {long_duration(round(told['whole_at_s'] * 1000))} of the plan's clock"
        say(f"whole in pass {told['passes'] + told['whole_in_passes'] - 1}, {when}")
    if told["next"]:
        say(f"next: {shown(told['next'], 60)}")
