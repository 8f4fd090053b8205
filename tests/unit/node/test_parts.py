from __future__ import annotations

import dataclasses
from typing import Any

from dtn.bpv7.bundle import BundleId
from ground.parts import Parts as Held
from node.outputs import StoreAnswer
from node.parts import PART_BYTES, PART_SHARE, Parts
from roundtrip.codec import decode
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.message import Answer, Part, Refusal
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_S

RATE = 9600


def bundle(number: int) -> BundleId:
    return BundleId("ipn:2.1", 0, number)


def reply(text: str) -> Answer:
    return Answer(1, text, "stop", 1, 1, 1, 2, 3, 4, 0)


def test_each_part_is_what_is_new_and_the_end_is_the_rest() -> None:
    parts, held = Parts(), Held()
    now_ns = 0
    for number, text in enumerate(["Batt", "Battery ü", "Battery ünd "]):
        part = parts.next_part(1, text, RATE, now_ns)
        assert part is not None
        parts.sent(bundle(number), part, RATE, now_ns)
        now_ns += NS_PER_S * 10
        held.add(part)
        if number < 2:
            parts.left(bundle(number), acknowledged=True)
    whole = reply("Battery ünd more.")
    rest, given_up = parts.last(1, whole)
    assert given_up == [bundle(2)]
    assert isinstance(rest, Answer)
    assert (rest.start, rest.text) == (10, "nd more.")
    assert held.whole(rest) == whole
    assert parts.last(1, whole) == (whole, []), "asked again, it comes whole"


def test_a_part_that_did_not_arrive_leaves_what_is_behind_it_to_the_end() -> None:
    parts = Parts()
    for number, text in enumerate(["one ", "one two ", "one two three "]):
        part = parts.next_part(1, text, RATE, number * 10 * NS_PER_S)
        assert part is not None
        parts.sent(bundle(number), part, RATE, number * 10 * NS_PER_S)
    for number in (0, 2):
        parts.left(bundle(number), acknowledged=True)
    parts.left(bundle(1), acknowledged=False)
    rest = parts.last(1, reply("one two three four"))[0]
    assert isinstance(rest, Answer)
    assert (rest.start, rest.text) == (4, "two three four")


def test_an_answer_begun_anew_is_sent_whole() -> None:
    parts = Parts()
    part = parts.next_part(1, "one", RATE, 0)
    assert part is not None
    parts.sent(bundle(1), part, RATE, 0)
    parts.left(bundle(1), acknowledged=True)
    assert parts.next_part(1, "another", RATE, 100 * NS_PER_S) is None
    assert parts.last(1, reply("another one")) == (reply("another one"), [])


def test_a_refusal_gives_up_the_parts_that_are_on_their_way() -> None:
    parts = Parts()
    part = parts.next_part(1, "one", RATE, 0)
    assert part is not None
    parts.sent(bundle(1), part, RATE, 0)
    refusal = Refusal(1, "engine_failed", "", 5, 6)
    assert parts.last(1, refusal) == (refusal, [bundle(1)])
    parts.left(bundle(1), acknowledged=True)


def test_parts_take_at_most_their_share_of_the_link() -> None:
    parts, text, sent, end_s = Parts(), "", 0, 600
    for tick in range(end_s * 10):
        text += "x"
        now_ns = tick * NS_PER_S // 10
        part = parts.next_part(1, text, RATE, now_ns)
        if part is not None:
            parts.sent(bundle(sent), part, RATE, now_ns)
            sent += 1
    assert 0.9 * PART_SHARE < sent * PART_BYTES * 8 / RATE / end_s <= 1.02 * PART_SHARE
    assert parts.next_part(1, text + "x", None, 10**15) is None, "the link is closed"


def messages(bench: Any, kind: type) -> list[Any]:
    return [message for message in bench.answers if isinstance(message, kind)]


def test_the_node_sends_parts_and_then_the_rest(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    bench.call(bench.node.wrote, 1, "The battery")
    bench.call(bench.node.wrote, 1, "The battery is at")
    bench.call(bench.node.wrote, 2, "not running")
    assert messages(bench, Part) == [Part(1, 0, "The battery"), Part(1, 11, " is at")]
    (stored,) = bench.finish(1, "The battery is at 28 V.")
    assert isinstance(stored, StoreAnswer)
    whole = decode(stored.payload)
    assert isinstance(whole, Answer)
    assert whole.text == "The battery is at 28 V.", "on disk it is whole"
    bench.call(bench.node.answer_stored, 1)
    (rest,) = messages(bench, Answer)
    assert (rest.start, rest.text) == (17, " 28 V.")
    assert Held(messages(bench, Part)).whole(rest) == whole
    bench.ask(ask())
    assert messages(bench, Answer)[1] == whole, "asked again"


def test_no_part_waits_for_a_modem_that_does_not_send(bench, ask) -> None:
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    cue = Carrier(1, False, True, 10**9, 10**9, 0, 1400, 0, 0, "")
    bench.call(bench.node.carrier, cue)
    bench.call(bench.node.wrote, 1, "The battery")
    bench.call(bench.node.carrier, dataclasses.replace(cue, tx_up=True))
    assert messages(bench, Part) == []
    bench.call(bench.node.wrote, 1, "The battery is")
    assert messages(bench, Part) == [Part(1, 0, "The battery is")]


def test_no_part_goes_while_the_link_is_closed(make_bench, ask) -> None:
    contacts = [
        Contact(a, b, start, start + 10**9, 10**9, 0)
        for a, b in (("ground", "node"), ("node", "ground"))
        for start in (0, 10**11)
    ]
    bench = make_bench(plan=ContactPlan(contacts))
    bench.up()
    bench.ask(ask())
    bench.call(bench.node.question_stored, 1)
    bench.now_ns = 2 * 10**9
    bench.call(bench.node.wrote, 1, "The battery")
    assert messages(bench, Part) == []


def test_no_part_goes_before_a_whole_answer_that_waits(make_bench, ask) -> None:
    bench = make_bench(slots=2)
    bench.up()
    for number in (1, 2):
        bench.ask(ask(number))
        bench.call(bench.node.question_stored, number)
    bench.accept_answers = False
    bench.finish(1, "Yes.")
    bench.call(bench.node.answer_stored, 1)
    bench.call(bench.node.wrote, 2, "The battery")
    assert messages(bench, Part) == []
    (answer,) = messages(bench, Answer)
    assert answer.question_id == 1
