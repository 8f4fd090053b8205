"""`make mutants`: plant small faults, a sample by seed, and see which ones no test notices.

Each fault is made in a copy of the checkout by cosmic-ray's operators and one of ours, and judged
first by the unit tests that mirror the file, then by property and simulation tests, and what runs
in processes of its own by a few live ones. A fault that changes nothing anybody could notice is
listed in `equivalent.toml`, or falls under a rule there, with the reason.

    python -m tests.mutants [--seed N] [--count N] [--jobs N] [--only PATH]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutants.dropped import DropStatement

ROOT = Path(__file__).parents[2]
PACKAGES = ("dtn", "ground", "link_sim", "node", "roundtrip", "testbed/campaign")
LEFT_OUT = ("__main__.py", "node/engine/llama.py", "roundtrip/drive/realtime.py")
"""Not judged: little but what starts processes, or asks of llama.cpp and the kernel."""
OPERATORS = {
    name: get_operator(f"core/{name}")
    for name in (
        *(f"ReplaceComparisonOperator_{pair}" for pair in (
            "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "GtE_Lt", "LtE_Gt", "Gt_LtE",
            "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is",
        )),
        "ReplaceBinaryOperator_Add_Sub",
        "ReplaceBinaryOperator_Sub_Add",
        "ReplaceBinaryOperator_Mul_Div",
        "ReplaceBinaryOperator_FloorDiv_Mul",
        "ReplaceBinaryOperator_Div_Mul",
        "ReplaceAndWithOr",
        "ReplaceOrWithAnd",
        "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue",
        "ReplaceBreakWithContinue",
        "AddNot",
        "NumberReplacer",
    )
} | {"DropStatement": DropStatement}  # fmt: skip
SIMULATIONS = tuple(
    f"tests/sim/test_{name}.py" for name in ("standing", "clocks", "air", "stamps", "runs", "parts")
)
PURE = ["tests/property", *SIMULATIONS]
"""What judges every file, after its unit tests."""
RUN = "test_run.py::test_a_run_answers_everything_and_leaves_a_whole_folder"
UDP = "test_udp.py::test_all_are_answered"
UNIT_FILE = "test_service_unit.py::test_a_node_says_when_it_is_ready_alive_and_stopping"
REAL_ENGINE = (
    "test_supervisor.py::test_the_real_engine_answers_and_answers_again_after_being_killed"
)
PARTIAL = "test_refusals.py::test_an_answer_cut_by_its_deadline_is_partial"
UPSETS = "test_radiation.py::test_answers_are_right_though_bits_flip_all_the_time"
STANDING = "test_standing.py::test_a_station_is_asked_and_goes_on_after_a_restart"
UPLINK = "test_uplink.py::test_a_model_goes_up_flies_and_flies_again_after_a_restart"
VIEW = "test_terminal.py::test_a_person_asks_sees_the_answer_and_goes"
TUN = "test_tun.py::test_ping_takes_what_the_model_says"
GONE = "test_tun.py::test_what_it_made_is_gone_after_ctrl_c_and_after_a_kill_and_a_new_start"
TOOLS = "test_board.py::test_a_model_calls_tools_on_the_way_to_one_answer"
LIVE = {
    "ground/results/folder.py": (
        "test_kill.py::test_a_folder_in_use_or_begun_or_the_operators_own_is_left_alone",
    ),
    "ground/bulk/desk.py": (UPLINK, "test_uplink.py::test_it_pauses_goes_on_and_is_cancelled"),
    "ground/desk.py": (STANDING,),
    "ground/station.py": (
        STANDING,
        "test_standing.py::test_a_station_under_the_real_sky_goes_on_with_its_plan",
        "test_kill.py::test_the_ground_is_killed_and_goes_on_with_its_run",
        "test_kill.py::test_ctrl_c_twice_keeps_what_was_measured",
        "test_kill.py::test_ctrl_c_before_the_link_is_up_says_so_and_the_folder_can_be_taken_again",
        "test_bad_input.py::test_a_relay_that_is_not_there[ground]",
        UDP,
        RUN,
    ),
    "ground/terminal/view.py": (VIEW,),
    "ground/terminal/full.py": (VIEW,),
    "ground/terminal/keys.py": (VIEW,),
    "ground/terminal/line.py": (VIEW,),
    "link_sim/frame_log.py": (TUN,),
    "link_sim/namespaces.py": (TUN, GONE),
    "link_sim/relay.py": (
        "test_kill.py::test_the_link_is_killed_and_comes_back",
        "test_kill.py::test_a_second_ground_does_not_disturb_the_first",
        "test_run.py::test_the_roles_find_each_other_as_separate_commands",
        RUN,
    ),
    "link_sim/tun.py": (TUN, GONE),
    "node/board/errand_engine.py": (TOOLS,),
    "node/board/errands.py": (TOOLS,),
    "node/board/tool_child.py": ("test_sandbox.py", TOOLS),
    "node/board/tools.py": ("test_sandbox.py", TOOLS),
    "node/body/cgroup.py": ("test_limits.py",),
    "node/body/guard.py": (UNIT_FILE,),
    "node/body/limits.py": ("test_limits.py",),
    "node/engine/accept.py": (
        "test_bad_input.py::test_a_bad_model_file",
        "test_bad_input.py::test_a_model_of_another_architecture",
        "test_bad_input.py::test_a_model_that_does_not_fit_the_nodes_memory",
        RUN,
    ),
    "node/engine/bay.py": (UPLINK, REAL_ENGINE),
    "node/engine/guarded.py": (UPSETS,),
    "node/engine/kept_twice.py": (UPSETS,),
    "node/engine/child.py": (
        REAL_ENGINE,
        "test_supervisor.py::test_a_file_that_llama_cpp_refuses_is_a_bad_model",
        "test_supervisor.py::test_a_prompt_longer_than_the_context_is_refused_and_the_engine_lives",
        "test_supervisor.py::test_junk_among_the_states_does_not_stop_the_real_engine",
        "test_supervisor.py::test_the_real_engine_says_that_it_is_alive_and_hangs_when_stopped",
        "test_run.py::test_an_answer_that_the_link_cuts_off_is_there_as_far_as_it_came",
        PARTIAL,
        UPSETS,
    ),
    "node/engine/http_child.py": ("test_http_engine.py",),
    "node/engine/supervisor.py": ("test_supervisor.py",),
    "node/engine/wire.py": (REAL_ENGINE,),
    "node/bulk/flight.py": (UPLINK,),
    "node/service.py": (
        UPLINK,
        "test_bad_input.py::test_a_relay_that_is_not_there[node]",
        "test_kill.py::test_the_node_is_killed_and_comes_back",
        "test_refusals.py::test_engine_failed_and_quarantined",
        "test_clocks.py::test_over_udp_a_node_keeps_its_clock_over_a_restart",
        UNIT_FILE,
        PARTIAL,
        UPSETS,
    ),
    "roundtrip/drive/clock.py": (
        "test_clocks.py::test_over_udp_a_clock_that_is_a_year_behind_is_told_at_both_ends",
    ),
    "roundtrip/drive/notify.py": (UNIT_FILE,),
    "roundtrip/drive/udp.py": ("test_udp.py::test_an_address_that_is_none", UDP),
}
"""Files that run in processes of their own, and which of `tests/live` judge them last; a minute
for each at most."""
FURTHER = {
    "dtn/": ("tests/interop", "tests/unit/node", "tests/unit/ground"),
    "roundtrip/": ("tests/unit/node", "tests/unit/ground", "tests/unit/link_sim"),
    "dtn/ltp/": ("tests/sim/test_late_frames.py", "tests/sim/test_hostile_links.py"),
    "node/upset_engine.py": ("tests/sim/test_radiation.py",),
    "node/radio.py": ("tests/sim/test_radiation.py",),
    "ground/results/": ("tests/unit/testbed/commands",),
    "ground/bulk/": ("tests/sim/test_upload.py",),
    "node/bulk/": ("tests/sim/test_upload.py",),
    "roundtrip/bulk/": ("tests/sim/test_upload.py",),
    "link_sim/": ("tests/sim/test_adaptive_rate.py", "tests/sim/test_hostile_links.py"),
    "node/": ("tests/sim/test_bounds.py",),
    "node/engine/": ("tests/sim/test_real_answers.py",),
    "node/body/energy": ("tests/sim/test_energy.py",),
    "testbed/campaign/": ("tests/sim/test_campaign.py",),
}
"""What else of `make test` judges a file or folder, after all others: simulations of its own, and
the units of those who use it."""
TOO_LONG = "not storm and not thousand"
"""Simulations that are left out: they take minutes."""
DROPS_SHARE = 0.4
"""Of the sample."""
LIMIT_S = 900
"""Of one run of tests; a fault that makes one hang is noticed."""
ALL_S = 2_400
"""Of all of them."""
ALLOWED = 0.1
"""Share of survivors."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault."""

    file: str
    operator: str
    occurrence: int
    line: int
    text: str
    """The line that it is made in."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.operator}[{self.occurrence}]: {self.text}"


def mutants_of(file: str) -> Iterator[Mutant]:
    """Every fault that can be made in a file."""
    source = (ROOT / file).read_text(encoding="utf-8")
    lines = source.split("\n")
    nodes = list(ast_nodes(get_ast(source)))
    for name, kind in OPERATORS.items():
        operator = kind()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(places):
            yield Mutant(file, name, occurrence, line, lines[line - 1].strip())


def sample(seed: int, count: int, only: str) -> list[Mutant]:
    """So many faults, the same for the same seed and sources."""
    files = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    files = [f for f in files if only in f and not any(f.endswith(out) for out in LEFT_OUT)]
    equivalent = _equivalent()
    every = [one for file in files for one in mutants_of(file) if not equivalent(one)]
    drops = [one for one in every if one.operator == "DropStatement"]
    others = [one for one in every if one.operator != "DropStatement"]
    rng = random.Random(seed)
    dropped = min(len(drops), round(DROPS_SHARE * count))
    return rng.sample(drops, dropped) + rng.sample(others, min(len(others), count - dropped))


def _equivalent() -> Callable[[Mutant], bool]:
    """Whether nobody could notice a fault: it is listed by itself, or falls under a rule."""
    table = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text("utf-8"))
    known = {(one["file"], one["operator"], one["line"]) for one in table.get("mutant", ())}
    rules = [(rule["operator"], re.compile(rule["line"])) for rule in table["rule"]]

    def check(mutant: Mutant) -> bool:
        return (mutant.file, mutant.operator, mutant.text) in known or any(
            operator == mutant.operator and line.search(mutant.text) for operator, line in rules
        )

    return check


def tests_for(file: str) -> list[list[str]]:
    """The tests that judge a file, nearest first; a later list is run where those before pass."""
    path = Path(file)
    folder = Path("tests/unit") / path.parent
    nearest = folder / f"test_{path.stem}.py"
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    stages = [[nearest.as_posix()]] if (ROOT / nearest).exists() else []
    stages.append(_tests_in(folder))
    wider = _tests_in(Path("tests/unit") / path.parts[0])
    if wider != stages[-1]:
        stages.append(wider)
    live = [f"tests/live/{name}" for name in LIVE.get(file, ())]
    further = [test for start, tests in FURTHER.items() if file.startswith(start) for test in tests]
    return [stage for stage in (*stages, PURE, further, live) if stage]


def _tests_in(folder: Path) -> list[str]:
    """Those of a folder itself, not of the rooms in it."""
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).glob("test_*.py"))]


def survives(mutant: Mutant, copy: Path) -> bool:
    """Whether no test notices a fault.

    Raises:
        RuntimeError: it cannot be made.
    """
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    changed = mutate_code(source, OPERATORS[mutant.operator](), mutant.occurrence)
    if changed is None:
        raise RuntimeError(f"no such mutant: {mutant}")
    _write(path, changed)
    try:
        return all(_passes(tests, copy) for tests in tests_for(mutant.file))
    finally:
        _write(path, source)


def _write(path: Path, source: str) -> None:
    """Change a module, and forget how it was compiled: a file of the same second and size is not
    compiled anew."""
    path.write_text(source, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def _passes(tests: list[str], copy: Path, limit_s: float = LIMIT_S) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    is_live = tests[0].startswith("tests/live")
    command += ["-m", "not chaos" if is_live else "not live and not chaos", "-k", TOO_LONG, *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": ""}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode in (0, 5)


def _baselines(chosen: list[Mutant]) -> list[list[str]]:
    """All tests that judge, those without and those with processes of their own."""
    judging = {test for one in chosen for stage in tests_for(one.file) for test in stage}
    live = {test for test in judging if test.startswith("tests/live")}
    return [sorted(tests) for tests in (judging - live, live) if tests]


def _copied(folder: Path) -> Path:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in names.decode().split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def main() -> int:
    """Judge a sample; 1 where more survive than may."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of the files' paths")
    options = parser.parse_args()
    chosen = sample(options.seed, options.count, options.only)
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as scratch:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(_copied(Path(scratch) / str(number)))

        def judged(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                return survives(mutant, copy)
            finally:
                copies.put(copy)

        def failed(tests: list[str]) -> list[str]:
            copy = copies.get()
            try:  # a live one may be late on a busy machine, but hardly twice
                return [] if _passes(tests, copy, ALL_S) or _passes(tests, copy, ALL_S) else tests
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(options.jobs) as pool:
            failing = [tests for tests in pool.map(failed, _baselines(chosen)) if tests]
            if failing:
                print(f"without any fault these fail: {failing}", file=sys.stderr)
                return 2
            for number, (mutant, alive) in enumerate(
                zip(chosen, pool.map(judged, chosen), strict=True), 1
            ):
                if alive:
                    survivors.append(mutant)
                print(f"{'survived' if alive else 'noticed'} {number}/{len(chosen)} {mutant}")
                sys.stdout.flush()
    share = len(survivors) / max(1, len(chosen))
    print(f"{len(survivors)} of {len(chosen)} mutants survived ({share:.1%}), seed {options.seed}")
    return int(share >= ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
