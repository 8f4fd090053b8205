"""`models list` and `models pull`: what there is, here and published."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from models.cache import cache_dir
from models.catalogue import CATALOGUE, load_catalogue
from models.pull import pull, pulled
from models.resolve import BUILTIN
from roundtrip.errors import BadModel
from roundtrip.say import say, say_json
from roundtrip.screen import Screen
from roundtrip.words import shown

_CATALOGUE = click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    default=CATALOGUE,
    help="Another catalogue file than the shipped one.",
)


@click.command("list")
@_CATALOGUE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model.")
def list_command(catalogue: Path, as_json: bool) -> None:
    """List the builtin, what is in the cache, and the catalogue.

    Example: groundloop models list
    """
    rows = [
        {"name": "builtin", "where": "shipped", "bytes": path.stat().st_size, "path": str(path)}
        for path in sorted(BUILTIN.glob("*.gguf"))
    ]
    rows += [
        {"name": path.stem, "where": "made here", "bytes": path.stat().st_size, "path": str(path)}
        for path in sorted(cache_dir().glob("*.gguf"))
    ]
    for entry in load_catalogue(catalogue).values():
        there = pulled(entry)
        where = "pulled and verified" if there else "published; not downloaded by us"
        row = {"name": entry.name, "where": where, "bytes": entry.bytes, "path": str(there or "")}
        rows.append(row | {"licence": entry.licence})
    if as_json:
        for row in rows:
            say_json(row)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "MB", "where"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for row in rows:
        table.add_row(shown(row["name"]), f"{int(str(row['bytes'])) / 1e6:,.1f}", str(row["where"]))
    Screen().print(table)
    say("`groundloop models pull NAME` fetches a published one.")


@click.command("pull")
@click.argument("name")
@_CATALOGUE
@click.option("--offline", is_flag=True, help="Only look in the cache.")
def pull_command(name: str, catalogue: Path, offline: bool) -> None:
    """Fetch NAME from the catalogue, and verify its size and sha256.

    A download that broke off goes on where it was. HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are
    obeyed.

    Example: groundloop models pull qwen3-0.6b-q4_k_m
    """
    entries = load_catalogue(catalogue)
    if name not in entries:
        raise BadModel(name, "", "one of " + ", ".join(entries), "no such name")
    path = pull(entries[name], offline=offline)
    say(f"{name}: verified, {path}")
