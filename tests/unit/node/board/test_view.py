"""What the node has to show."""

from __future__ import annotations

import pytest

from node.board.reading import Reading, history_text
from node.board.view import (
    Board,
    KnownPass,
    NotSeen,
    contacts_of,
    digest_of,
    next_pass,
)
from roundtrip.message import GREEDY, Question
from roundtrip.onboard import TelemetryConfig
from roundtrip.scenario_file import check_scenario
from roundtrip.units import NS_PER_S

MIN = 60 * NS_PER_S


def reading(at_ns: int, **values: str) -> Reading:
    return Reading(at_ns, "SUN", values, dict.fromkeys(values, "V"))


class Feed:
    """A frame each moment that is asked for."""

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        return [reading(now_ns - back * every_ns, A=str(20 - back), B="7") for back in range(count)]


def question(text: str = "?", **fields: object) -> Question:
    return Question(1, text, "", 64, GREEDY, "off", 60_000, see=("telemetry.history",))


def board(context: int = 1024, **config: object) -> Board:
    return Board(TelemetryConfig.model_validate(config), Feed(), context=context)


def test_a_history_is_a_table_with_the_latest_last() -> None:
    readings = [reading(40 * MIN, A="3", B="9"), reading(20 * MIN, A="2"), reading(0, A="1")]
    assert history_text(readings) == "min -40 -20 0\nlight SUN SUN SUN\nA 1 2 3 V\nB ? ? 9 V"
    assert history_text(readings, ("B",)).endswith("SUN\nB ? ? 9 V")


def test_short_steps_are_told_in_seconds() -> None:
    readings = [reading(9 * NS_PER_S, A="2"), reading(0, A="1")]
    assert history_text(readings).startswith("s -9 0\n")
    readings = [reading(11 * MIN + NS_PER_S, A="2"), reading(0, A="1")]
    assert history_text(readings).startswith("min -11 0\n")


def test_a_feed_that_does_not_know_the_light_shows_none() -> None:
    dark = [Reading(at, "", {"A": "1"}, {"A": ""}) for at in (MIN, 0)]
    assert history_text(dark) == "min -1 0\nA 1 1"


def test_a_history_goes_back_as_far_as_is_configured() -> None:
    look = board(history_frames=3, history_s=1200).look(question(), now_ns=100 * MIN)
    assert look.text == "min -20 -10 0\nlight SUN SUN SUN\nA 18 19 20 V\nB 7 7 7 V\n\n?"
    assert look.shown[0].at_ns == 100 * MIN


def test_a_history_has_fewer_frames_where_there_is_no_room_for_all() -> None:
    whole = board().look(question(), now_ns=100 * MIN).text
    size = len(whole) - len("\n\n?")
    fits = board(size + 1).look(question(), now_ns=100 * MIN).text
    assert fits == whole
    less = board(size).look(question(), now_ns=100 * MIN).text
    assert less.startswith("min -40 -20 0\n")
    with pytest.raises(NotSeen, match=r"telemetry\.history: no room for two frames in 9 tokens"):
        board(9).look(question(), now_ns=100 * MIN)


def test_what_is_shown_before_it_takes_room_from_a_history() -> None:
    asked = Question(1, "?", "", 64, GREEDY, "off", 60_000, see=("telemetry", "telemetry.history"))
    frame = "SUN\nA 20 V\nB 7 V"
    whole = board().look(question(), now_ns=100 * MIN).text.removesuffix("\n\n?")
    room = len(frame) + len(whole) + 1
    assert whole in board(room).look(asked, now_ns=100 * MIN).text
    assert whole not in board(room - 1).look(asked, now_ns=100 * MIN).text


def test_channels_that_are_not_there_are_said() -> None:
    asked = Question(1, "?", "", 64, GREEDY, "off", 60_000, see=("telemetry",))
    assert board(channels=["B"]).look(asked, now_ns=0).text == "SUN\nB 7 V\n\n?"


def test_a_frame_is_stale_after_a_while() -> None:
    feed = Feed()
    view = Board(TelemetryConfig(stale_s=10), feed, context=99)
    feed.frames = lambda *_: [reading(0, A="1")]
    assert view.readings(1, 10 * NS_PER_S)
    with pytest.raises(NotSeen, match="no frame for 11 s"):
        view.readings(1, 11 * NS_PER_S)
    feed.frames = lambda *_: []
    with pytest.raises(NotSeen, match="no frame yet"):
        view.readings(1, 0)


def test_what_was_shown_is_told_by_its_hash() -> None:
    shown = board().note(3, 5, "SUN")
    assert (shown.what, shown.at_ns, shown.digest) == (3, 5, digest_of(b"SUN"))
    assert digest_of(b"SUN").hex() == "d44fa953"


@pytest.mark.parametrize(
    ("now_s", "said"),
    [
        (0, "over Kiruna, AOS in 100 s, lasts 5 min, up to 41 deg"),
        (99.5, "over Kiruna, AOS in 1 s, lasts 5 min, up to 41 deg"),
        (100, "over Kiruna, LOS in 5 min, up to 41 deg"),
        (400, "over ground, AOS in 10 h 0 min, lasts 90 s"),
        (36_490, "no pass is known"),
    ],
)
def test_the_next_pass_is_told_in_words(now_s: float, said: str) -> None:
    passes = [
        KnownPass("Kiruna", 100 * NS_PER_S, 400 * NS_PER_S, 40.6),
        KnownPass("", 36_400 * NS_PER_S, 36_490 * NS_PER_S, None),
    ]
    assert next_pass(passes, round(now_s * NS_PER_S)) == said


def test_passes_are_the_scenarios_contacts() -> None:
    way = {"rate_bps": 9600, "one_way_delay_ms": 5}
    contact = {"start_s": 1, "end_s": 9, "station": "Berlin", "max_elevation_deg": 30}
    table: dict[str, object] = {
        "link": {"uplink": way, "downlink": way},
        "contact": [contact],
        "workload": {"questions": ["?"], "count": 1},
    }
    passes = contacts_of(check_scenario(table, "test"))
    assert passes == (KnownPass("Berlin", NS_PER_S, 9 * NS_PER_S, 30.0),)


def test_a_tool_gets_one_frame_or_as_many_as_a_history_has() -> None:
    of = board(history_frames=3, history_s=1200)
    at_ns, one = of.view("telemetry.read", 100 * MIN)
    assert (at_ns, len(one["frames"])) == (100 * MIN, 1)
    assert len(of.view("telemetry.history", 100 * MIN)[1]["frames"]) == 3
