"""`groundloop ask | chat | status | answers | history | cancel`: talk to a standing station."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from roundtrip.contacts import FOREVER_NS
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.say import say, say_json, say_part
from roundtrip.units import ns_to_s
from roundtrip.words import duration, long_duration, percent, shown
from testbed.commands.station_client import PORT, answer_of, events_of

JSON = click.option("--json", "as_json", is_flag=True, help="Print what the station says as JSON.")
ANSWERED = ("on_time", "late", "partial")


@click.command("ask")
@click.argument("text", required=False)
@click.option("--deadline", help="Budget of this loop, such as 90s or 5m.")
@click.option("--priority", type=click.Choice(["bulk", "normal", "expedited"]), default="normal")
@click.option("--system", help="System prompt, instead of the scenario's.")
@click.option(
    "--json-schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON Schema that the answer keeps to.",
)
@click.option("--max-tokens", type=click.IntRange(1, 32_768))
@click.option("--think", is_flag=True, help="Let the model think first.")
@click.option("--thoughts", is_flag=True, help="The same, and print what it thought.")
@click.option("--after", help="Id of the question that this one goes on from.")
@click.option("--see", multiple=True, help="Shown to the model on board, such as telemetry.")
@click.option("--tool", "tools", multiple=True, help="What it may call there, as passes.next.")
@click.option("--background", is_flag=True, help="Do not wait; print the question's id.")
@JSON
@PORT
def ask_command(
    text: str | None,
    deadline: str | None,
    priority: str,
    system: str | None,
    json_schema: Path | None,
    max_tokens: int | None,
    think: bool,
    thoughts: bool,
    after: str | None,
    see: tuple[str, ...],
    tools: tuple[str, ...],
    background: bool,
    as_json: bool,
    port: int,
) -> int:
    """Ask the node behind a standing station, and wait for the answer.

    The answer is printed as its parts come down, then what the loop took. Without TEXT the question
    is read from stdin. Example: groundloop ask "Is the battery low?" --deadline 90s
    """
    body: dict[str, Any] = {
        "text": text if text is not None else sys.stdin.read(),
        "priority": priority,
    }
    if deadline is not None:
        body["deadline_s"] = _seconds(deadline)
    if system is not None:
        body["system"] = system
    if json_schema is not None:
        body["json_schema"] = _schema(json_schema)
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if think or thoughts:
        body |= {"think": "on", "thoughts": thoughts}
    if after is not None:
        body["after"] = after
    if see:
        body["see"] = list(see)
    if tools:
        body["tools"] = list(tools)
    key = answer_of(port, "POST", "/api/questions", body)["id"]
    if background:
        if as_json:
            say_json({"id": key})
        else:
            say(key)
        return 0
    return _follow(port, key, as_json=as_json)


@click.command("chat")
@click.option("--system", help="System prompt, instead of the scenario's.")
@click.option("--after", help="Id of the question to go on from.")
@click.option("--think", is_flag=True, help="Let the model think first.")
@JSON
@PORT
def chat_command(
    system: str | None, after: str | None, think: bool, as_json: bool, port: int
) -> int:
    """Have a conversation with the node behind a standing station, a question a line.

    The node keeps what was said: it does not go up again. A question without an answer is no part
    of the conversation. An empty line or the end of the input ends it.

    Example: groundloop chat --system "Answer in one sentence."
    """
    answer_of(port, "GET", "/api/status")
    asks = sys.stdin.isatty()
    body: dict[str, Any] = {} if system is None else {"system": system}
    if think:
        body["think"] = "on"
    status = 0
    while True:
        if asks:
            say_part("> ")
        text = sys.stdin.readline().rstrip("\n")
        if not text.strip():
            break
        said = {"after": after} if after is not None else {}
        key = answer_of(port, "POST", "/api/questions", body | said | {"text": text})["id"]
        status = _follow(port, key, as_json=as_json)
        if answer_of(port, "GET", f"/api/questions/{key}")["outcome"] in ANSWERED:
            after = key
    if after is not None and not as_json:
        say(f"go on with: groundloop chat --after {after}", err=True)
    return status


def _follow(port: int, key: str, *, as_json: bool) -> int:
    """Print a question's answer as it comes."""
    printed = ""
    for event in events_of(port, f"/api/questions/{key}/events"):
        if as_json:
            say_json(event)
        elif event["event"] == "text":
            printed += event["text"]
            say_part(event["text"])
        if event["event"] == "settled":
            if not as_json:
                _say_outcome(event, printed)
            return 0 if event["outcome"] in ("on_time", "partial") else 1
    raise EnvironmentFault("ask", "the station ended", "ask again when it stands")


def _say_outcome(event: dict[str, Any], printed: str) -> None:
    if event.get("thoughts"):
        say_part("\n" * bool(printed) + f"thoughts: {event['thoughts']}\n")
        printed = ""
    answer = event["answer"] or ""
    if answer.startswith(printed):
        say_part(answer[len(printed) :] + "\n")
    elif answer:
        say_part(f"\n{answer}\n")
    if event["outcome"] not in ANSWERED:
        say(f"{event['outcome']}: {shown(event['reason'], 300)}", err=True)
        return
    phases = sorted(event["phases_s"].items(), key=lambda one: -one[1])
    most = ", ".join(
        f"{name.replace('_', ' ')} {duration(spent * 1000)}" for name, spent in phases[:4]
    )
    verdict = event["outcome"].replace("_", " ")
    say(f"{verdict}: loop {duration(event['loop_s'] * 1000)} ({most})", err=True)
    for one in event.get("seen", []):
        age = duration(one["age_s"] * 1000)
        say(f"seen: {shown(one['what'], 60)} of {age} before, {one['sha256']}", err=True)


@click.command("status")
@JSON
@PORT
def status_command(as_json: bool, port: int) -> int:
    """Show how a standing station does: link, node, and what is open.

    Example: groundloop status
    """
    status = answer_of(port, "GET", "/api/status")
    if as_json:
        say_json(status)
        return 0
    link, node = status["link"], status["node"]
    if link is None:
        say("link      not up yet")
    else:
        ways = [name for name, up in (("up", link["tx_up"]), ("down", link["rx_up"])) if up]
        say(f"link      {' and '.join(ways) or 'no carrier'}, {link['one_way_ms']:g} ms one way")
    say(f"pass      {_next_pass(status['contacts'], status['clock_s'])}")
    if node is None:
        say("node      not heard yet")
    else:
        say(f"node      {shown(node['model'], 60)} {shown(node['quantization'], 20)}")
    upload = status["upload"]
    if upload is not None and upload["state"] != "none":
        how = f"{upload['state'].replace('_', ' ')}, {percent(upload['share'])} on board"
        say(f"upload    {shown(upload['name'], 60)} {how}")
    say(f"open      {len(status['open'])}")
    for place, one in enumerate(status["open"], 1):
        soon = _expected(one["expected_at_s"], status["clock_s"])
        say(f"  {place:<3d} {one['id']}  {one['stage']:18s} {soon:>14s}  {shown(one['text'], 60)}")
    return 0


def _next_pass(contacts: list[list[float]], now_s: float | None) -> str:
    coming = [span for span in contacts if now_s is not None and span[1] > now_s]
    if now_s is None or not coming:
        return "none to come"
    start_s, end_s = coming[0]
    if now_s < start_s:
        return f"AOS in {_left(start_s - now_s)}"
    return "no end" if end_s >= ns_to_s(FOREVER_NS) else f"LOS in {_left(end_s - now_s)}"


def _expected(at_s: float | None, now_s: float | None) -> str:
    if at_s is None or now_s is None:
        return "no contact"
    return f"in {_left(max(0.0, at_s - now_s))}"


def _left(seconds: float) -> str:
    ms = seconds * 1000
    return duration(ms) if seconds < 120 else long_duration(round(ms))


@click.command("answers")
@click.option("--count", type=click.IntRange(1, 9999), default=10, show_default=True)
@JSON
@PORT
def answers_command(count: int, as_json: bool, port: int) -> int:
    """Show the latest outcomes of a standing station, the newest first.

    Example: groundloop answers --count 5
    """
    _say_all(answer_of(port, "GET", f"/api/questions?count={count}"), as_json=as_json)
    return 0


@click.command("history")
@click.argument("words", nargs=-1)
@click.option("--count", type=click.IntRange(1, 9999), default=20, show_default=True)
@JSON
@PORT
def history_command(words: tuple[str, ...], count: int, as_json: bool, port: int) -> int:
    """Search the questions of all runs and their answers, the newest first.

    Found are those with every one of WORDS, or longer words that begin so.

    Example: groundloop history battery low
    """
    query = urlencode({"query": " ".join(words), "count": count})
    found = answer_of(port, "GET", f"/api/history?{query}")
    _say_all(found, as_json=as_json)
    if not found and not as_json:
        say("nothing found", err=True)
    return 0 if found else 1


def _say_all(outcomes: list[dict[str, Any]], *, as_json: bool) -> None:
    for one in outcomes:
        if as_json:
            say_json(one)
            continue
        loop = "" if one["loop_s"] is None else duration(one["loop_s"] * 1000)
        say(f"{one['id']}  {one['outcome']:8s} {loop:>10s}  {shown(one['text'], 60)}")
        said = one["answer"] if one["answer"] else one["reason"]
        say(f"  → {shown(said, 200)}")


@click.command("cancel")
@click.argument("question")
@PORT
def cancel_command(question: str, port: int) -> int:
    """Give up a question of a standing station; the node is told.

    Example: groundloop cancel 5be8636e000000
    """
    if not question.isalnum():
        raise BadInput("cancel", "QUESTION", "an id as `groundloop status` shows it", question)
    answer_of(port, "DELETE", f"/api/questions/{question}")
    return 0


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        return float(number) * unit
    except ValueError:
        raise BadInput("ask", "--deadline", "a time such as 90s, 5m or 1h", text[:40]) from None


def _schema(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(str(path), "", "a JSON Schema", str(error)[:120]) from None
