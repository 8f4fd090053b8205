"""What each tool does, given its arguments and what the node has to show: data in, text out. Pure
but for `files.read`.

Whatever a model writes as arguments gets a result: one that begins with `error:` where it cannot be
done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from node.board.folder import NotThere, file_in, names_in
from node.board.reading import history_text, reading_of
from roundtrip.tools import HISTORY

MAX_CHANNELS = 64
ERROR = "error: "


def run_tool(name: str, arguments: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    """The result of one call.

    Args:
        name: of one of our own tools.
        arguments: as the model wrote them.
        view: what `Board.view` gave, and for `files.read` its `folder` and `max_bytes`.
    """
    match name:
        case "telemetry.read" | "telemetry.history":
            return _telemetry(name, arguments, view)
        case "passes.next":
            return str(view["pass"])
        case "time.now":
            return str(view["time"])
        case "files.read":
            return _file(arguments, view)
    return f"{ERROR}no such tool"


def _telemetry(name: str, arguments: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    wanted = arguments.get("channels", [])
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        return f"{ERROR}channels are a list of names"
    readings = [reading_of(one) for one in view["frames"]]
    allowed: Sequence[str] = view["channels"]
    channels = [one for one in wanted[:MAX_CHANNELS] if not allowed or one in allowed]
    if wanted and not channels:
        return f"{ERROR}no such channel"
    names = channels or allowed
    if name == HISTORY:
        return history_text(readings, names)
    return readings[0].text(names) or f"{ERROR}no such channel"


def _file(arguments: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    folder, name = Path(view["folder"]), arguments.get("name")
    if name is None:
        return "\n".join(names_in(folder)) or "no files"
    if not isinstance(name, str):
        return f"{ERROR}a name is a text"
    try:
        return file_in(folder, name, view["max_bytes"]).decode(errors="replace")
    except NotThere as reason:
        return f"{ERROR}{reason}"
