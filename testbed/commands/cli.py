"""The `groundloop` command: a table of commands, each imported when it is called."""

from __future__ import annotations

import click

from testbed.commands.deferred import Deferred

COMMANDS = (
    Deferred(
        "answers",
        "testbed.commands.asking:answers_command",
        "Show the latest outcomes of a standing station, the newest first.",
    ),
    Deferred(
        "ask",
        "testbed.commands.asking:ask_command",
        "Ask the node behind a standing station, and wait for the answer.",
    ),
    Deferred("bench", "testbed.commands.node_bench:bench", "Measure this machine."),
    Deferred(
        "campaign",
        "testbed.commands.campaign:campaign_command",
        "Run SCENARIO many times in virtual time and merge the results.",
    ),
    Deferred(
        "cancel",
        "testbed.commands.asking:cancel_command",
        "Give up a question of a standing station; the node is told.",
    ),
    Deferred(
        "chat",
        "testbed.commands.asking:chat_command",
        "Have a conversation with the node behind a standing station, a question a line.",
    ),
    Deferred(
        "compare",
        "testbed.commands.campaign:compare_command",
        "Show what changed from FIRST to SECOND: folders of runs or of campaigns.",
    ),
    Deferred(
        "completion",
        "testbed.commands.completing:completion_command",
        "Print what makes a shell complete commands and options.",
    ),
    Deferred(
        "coverage",
        "testbed.commands.coverage:coverage_command",
        "How soon questions are answered over a day, by a Walker constellation over "
        "ground stations.",
    ),
    Deferred(
        "demo",
        "testbed.commands.run:demo",
        "Run the `demo` scenario live: about a minute, one outage in the middle.",
    ),
    Deferred(
        "doctor",
        "testbed.commands.examining:doctor_command",
        "Check what groundloop needs of this machine, and say what to do.",
    ),
    Deferred(
        "ground",
        "ground.__main__:ground_command",
        "Run the ground station: ask the workload of SCENARIO and measure every loop.",
    ),
    Deferred(
        "history",
        "testbed.commands.asking:history_command",
        "Search the questions of all runs and their answers, the newest first.",
    ),
    Deferred(
        "keys",
        "testbed.commands.keys:keys",
        "Make, show and rotate the keys that sign and encrypt what goes over the link.",
    ),
    Deferred(
        "link",
        "link_sim.__main__:link_command",
        "Run the link of SCENARIO: a relay between ground and node.",
    ),
    Deferred(
        "models",
        "testbed.commands.models:models",
        "Make, describe, size, quantize and grade GGUF files.",
    ),
    Deferred("node", "node.__main__:node_command", "Run the satellite: a model behind a link."),
    Deferred(
        "passes",
        "testbed.commands.passes:passes_command",
        "List the passes of SCENARIO: AOS, TCA, LOS, highest elevation, duration, range, "
        "and the rate where it follows from a link budget.",
    ),
    Deferred(
        "report",
        "testbed.commands.run:report",
        "Write `report.html` of a run's FOLDER anew and print its verdict.",
    ),
    Deferred(
        "run",
        "testbed.commands.run:run_scenario",
        "Run SCENARIO: a TOML file, or one of the shipped ones (`groundloop scenarios`).",
    ),
    Deferred("scenarios", "testbed.commands.run:scenarios", "List the shipped scenarios."),
    Deferred(
        "score",
        "testbed.commands.scoring:score_command",
        "Judge anyone's log of loops, FILE: the same histograms, verdict and report as of a run.",
    ),
    Deferred(
        "station",
        "testbed.commands.standing:station_command",
        "Run a ground station that stands: questions may come at any time.",
    ),
    Deferred(
        "status",
        "testbed.commands.asking:status_command",
        "Show how a standing station does: link, node, and what is open.",
    ),
    Deferred(
        "up",
        "testbed.commands.standing:up_command",
        "Start link, node and a standing station on this machine, until Ctrl-C.",
    ),
    Deferred(
        "trace",
        "testbed.commands.tracing:trace",
        "Measured links: files with rate, delay and loss over time.",
    ),
    Deferred(
        "uplink",
        "testbed.commands.uplinking:uplink_command",
        "Send a model up in the background, below every question.",
    ),
    Deferred(
        "watch",
        "testbed.commands.watching:watch_command",
        "Watch a standing station on the whole terminal, and ask it; it goes on without this.",
    ),
)


@click.group(commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="groundloop")
def cli() -> None:
    """Will the answer be back within two minutes, and if not, what ate the time?

    A quantized Qwen3 runs on a satellite node behind a simulated link; the ground station measures
    every loop against its budget. Start with `groundloop demo`.

    Exit codes: 0 objective met, 99 objective missed, 104 bad input, 1 failure.
    """
