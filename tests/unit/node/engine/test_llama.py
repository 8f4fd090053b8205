"""The engine and what batches for it, in this process, on the `tiny` model."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import cbor2
import crc32c
import pytest

from models.resolve import resolve
from node.engine.batching import answer_all
from node.engine.chat import Piece, kept_apart, prompt
from node.engine.llama import Engine, state_key
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, FirstToken, Refused, Started, Wrote
from node.engine.tuning import tuned
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadModel
from roundtrip.message import GREEDY, Sampling
from tests.adapters import write_adapter
from tests.unit.node.engine.tiny import HOT, SCHEMA, SYSTEM, asked, batcher, one, settings, step


def test_the_self_test_passes(engine: Engine) -> None:
    engine.self_test()


def test_text_survives_tokens_and_back(engine: Engine) -> None:
    for text in ("Hello, world", "Größe 日本語 🛰", "a\n\n  b\t<|im_end|>"):
        pieces = prompt(text=text, system="", thinking=False)
        user = next(piece for piece in pieces if text in piece.text)
        tokens = engine.tokens_of([user])
        assert engine.text_of(tokens) == user.text
        assert not set(tokens) & set(engine.special.values())


MARKS = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "<|im_end|>",
    "<|im_start|>", "<|endoftext|>", "<|fim_prefix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>",
)  # fmt: skip


def test_special_tokens_that_a_user_spells_out_stay_text(engine: Engine) -> None:
    """llama.cpp finds tokens of the kind USER_DEFINED in any text, whatever it is told."""
    assert {"<think>", "</think>", "<tool_call>"} <= set(engine._matched)
    everything = "".join(MARKS)
    for text in (*MARKS, everything, everything[1:], "<<think>>", "a</think></think>\n", "<thi"):
        for around in ("{}", "x {} y", "</{}/>"):
            written = around.format(text)
            tokens = engine.tokens_of([Piece(written, False)])
            assert engine.text_of(tokens) == written
            assert not [t for t in tokens if engine._name(t) in MARKS], written


def test_what_is_cut_apart_is_tokenised_as_if_it_were_not(engine: Engine) -> None:
    """Where no token matches, a cut at the same place changes nothing."""
    for text in ("say <thynk> and </thynk>, <tool_cell>!", "<|repo_nime|>"):
        names = ("<thynk>", "</thynk>", "<tool_cell>", "<|repo_nime|>")
        parts = [engine._tokenised(part, special=False) for part in kept_apart(text, names)]
        assert len(parts) > 1
        assert list(itertools.chain(*parts)) == engine._tokenised(text, special=False)


@pytest.mark.parametrize("text", ["", "\0", "a\0b" * 20, "\ufeff\u202e", "\r\n" * 20, "🛰" * 20])
def test_any_text_is_a_question(engine: Engine, text) -> None:
    assert isinstance(one(engine, text=text, system=text), Done)


def test_a_system_prompt_that_leaves_no_room_is_too_long(engine: Engine) -> None:
    found = answer_all(batcher(engine), [asked(1, system="x" * 65_536), asked(2)])
    assert isinstance(found[1], Refused)
    assert isinstance(found[2], Done)


def test_greedy_gives_the_same_answer_again(engine: Engine) -> None:
    assert one(engine) == one(engine)


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-45, 1e-38, 1e-37, 1e-20, 1e-6])
def test_the_smallest_temperatures_are_greedy(engine: Engine, temperature) -> None:
    cold = Sampling(temperature, 1.0, 0, 0.0, seed=3)
    assert one(engine, sampling=cold, max_tokens=40) == one(engine, max_tokens=40)
    schema = {"schema": SCHEMA, "max_tokens": 60}
    assert one(engine, sampling=cold, **schema) == one(engine, **schema)


def test_the_least_temperature_that_samples_does(engine: Engine) -> None:
    assert one(engine, sampling=Sampling(1e-4, 1.0, 0, 0.0, seed=3)).text == one(engine).text


def test_sampling_follows_its_seed(engine: Engine) -> None:
    answers = [one(engine, sampling=Sampling(seed=seed)).text for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize("options", [{}, {"drafts": False}])
def test_answers_are_the_same_alone_and_together(engine: Engine, options) -> None:
    requests = [asked(number, max_tokens=10 + number) for number in range(9)]
    alone = [answer_all(batcher(engine, drafts=False), [request]) for request in requests]
    together = answer_all(batcher(engine, **options), requests)
    for request, found in zip(requests, alone, strict=True):
        assert together[request.id] == found[request.id]


def test_a_long_prompt_is_read_in_pieces_while_others_write(engine: Engine) -> None:
    busy = batcher(engine)
    busy.add(asked(1, max_tokens=100, sampling=HOT))
    while not any(isinstance(event, FirstToken) for event in step(busy)):
        pass
    busy.prefill_ns = 1e9
    busy.add(asked(2, text="voltage and current " * 12))
    events = []
    steps = 0
    while not any(isinstance(event, FirstToken) for event in events):
        events += step(busy)
        steps += 1
    assert steps >= 3
    assert (Started(2) in events, FirstToken(2) in events) == (True, True)
    other = next(slot for slot in busy._slots if slot.request.id == 1)
    assert len(other.written) >= steps, "the other one wrote on"


def test_the_head_of_a_prompt_is_read_once(engine: Engine) -> None:
    head = len(answer_all(batcher(engine), [asked(1)])) and batcher(engine)
    found = answer_all(head, [asked(1, system=SYSTEM)])[1]
    again = answer_all(head, [asked(number, system=SYSTEM) for number in (2, 3, 4)])
    assert found.cached_tokens == 0
    for done in again.values():
        assert done.cached_tokens > 40
    plain = answer_all(batcher(engine), [asked(4, system=SYSTEM)])[4]
    assert again[4].text == plain.text


def test_what_was_read_before_a_call_is_not_read_again_after_it(engine: Engine) -> None:
    """A question with tools leaves its prompt in its sequence, for when it comes again."""
    busy = batcher(engine)
    first = asked(1, system=SYSTEM, text="How is it? " * 5, tools="A tool.")
    before = answer_all(busy, [first])[1]
    again = replace(first, rounds=(("<tool_call>\n</tool_call>", ("SUN",)),))
    after = answer_all(busy, [again])[1]
    assert before.cached_tokens == 0
    assert before.prompt_tokens - 12 < after.cached_tokens < before.prompt_tokens


def test_heads_survive_a_restart_and_what_does_not_fit_is_deleted(engine: Engine, tmp_path) -> None:
    path = resolve("tiny")
    key = state_key([path], engine.settings)
    first = answer_all(batcher(engine, Prefixes(tmp_path, key)), [asked(1, system=SYSTEM)])[1]
    restored = batcher(engine, Prefixes(tmp_path, key))
    second = answer_all(restored, [asked(1, system=SYSTEM)])[1]
    assert (first.cached_tokens, second.text) == (0, first.text)
    assert second.cached_tokens > 40
    (file,) = tmp_path.glob("*.state")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert len(Prefixes(tmp_path, key)) == 0
    assert list(tmp_path.iterdir()) == []
    answer_all(batcher(engine, Prefixes(tmp_path, key)), [asked(1, system=SYSTEM)])
    assert len(Prefixes(tmp_path, "another-model")) == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_the_folder_of_states_stops_the_engine(engine: Engine, tmp_path) -> None:
    key = state_key([resolve("tiny")], engine.settings)
    kept = Prefixes(tmp_path, key)
    first = answer_all(batcher(engine, kept), [asked(1, system=SYSTEM)])[1]
    (good,) = tmp_path.glob("*.state")
    body = good.read_bytes()
    (head,) = kept._kept

    def crc(data: bytes) -> bytes:
        return data + crc32c.crc32c(data).to_bytes(4, "big")

    junk = {
        "zeros": bytes(4), "empty": b"", "short": body[:100], "text": b"nothing",
        "null": crc(b"\xf6"),
        "pair": crc(cbor2.dumps([1, 2])), "no-state": crc(cbor2.dumps([[1, 2], "x"])),
        "no-tokens": crc(cbor2.dumps([["a"], b""])), "nested": crc(b"\x81" * 5000),
        "misnamed": body,
    }  # fmt: skip
    for name, data in junk.items():
        (tmp_path / f"{key}-{name}.state").write_bytes(data)
    (tmp_path / f"{key}-dangling.state").symlink_to(tmp_path / "nowhere")
    (tmp_path / f"{key}-loop.state").symlink_to(tmp_path / f"{key}-loop.state")
    (tmp_path / f"{key}-folder.state").mkdir()
    (tmp_path / f"{key}-folder.state" / "x").touch()
    os.mkfifo(tmp_path / f"{key}-pipe.state")
    assert list(Prefixes(tmp_path, key)._kept) == [head]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {good.name, f"{key}-folder.state"}, "what can be deleted is"

    good.unlink()
    good.mkdir()
    good.with_suffix(".part").mkdir()
    again = Prefixes(tmp_path, key)
    assert answer_all(batcher(engine, again), [asked(1, system=SYSTEM)])[1] == first


@pytest.mark.parametrize("kind", ["file", "dangling", "below a file"])
def test_a_folder_of_states_that_is_none_costs_no_answer(engine: Engine, tmp_path, kind) -> None:
    folder = tmp_path / "states"
    if kind == "dangling":
        folder.symlink_to(tmp_path / "no" / "where")
    else:
        folder.write_text("x")
    if kind == "below a file":
        folder /= "states"
    kept = Prefixes(folder, "key")
    assert isinstance(answer_all(batcher(engine, kept), [asked(1, system=SYSTEM)])[1], Done)
    tuning = Engine(str(resolve("tiny")), settings(sequences=1))
    assert tuned(tuning, tuning.settings, [1], file=folder / "x.json", clock_ns=monotonic_ns)


def test_a_state_of_another_make_is_dropped_and_its_head_read_anew(
    engine: Engine, tmp_path
) -> None:
    """Its checksum is right; llama.cpp takes it, but has something else then."""
    key = state_key([resolve("tiny")], engine.settings)
    kept = Prefixes(tmp_path, key)
    first = answer_all(batcher(engine, kept), [asked(1, system=SYSTEM)])[1]
    (head,) = kept._kept
    engine.forget(0)
    engine.put(0, head[:20], 5, 0, wanted=True)
    engine.decode(20)
    for state in (engine.state(0), b"", bytes(4), kept._kept[head][0][:-1], b"junk" * 99):
        foreign = Prefixes(tmp_path, key)
        foreign.keep(head, state)
        asking = batcher(engine, Prefixes(tmp_path, key))
        assert answer_all(asking, [asked(1, system=SYSTEM)])[1] == first
        assert Prefixes(tmp_path, key)._kept[head] == kept._kept[head], "kept anew"


def test_a_state_that_flipped_in_memory_is_dropped_and_its_head_read_anew(engine: Engine) -> None:
    kept = Prefixes(None, "")
    first = answer_all(batcher(engine, kept), [asked(1, system=SYSTEM)])[1]
    ((head, (state, crc)),) = kept._kept.items()
    kept._kept[head] = bytes((state[0] ^ 1,)) + state[1:], crc
    again = answer_all(batcher(engine, kept), [asked(2, system=SYSTEM)])[2]
    assert again.cached_tokens == first.cached_tokens == 0
    assert kept._kept[head] == (state, crc), "kept anew"


def test_a_document_on_board_is_part_of_every_head(engine: Engine) -> None:
    informed = batcher(engine, document="Batteries are empty below 24 V. " * 3)
    first = answer_all(informed, [asked(1)])[1]
    second = answer_all(informed, [asked(2)])[2]
    assert first.prompt_tokens > one(engine).prompt_tokens + 20
    assert second.cached_tokens > 20


def test_a_prompt_on_board_is_that_of_questions_that_bring_none(engine: Engine) -> None:
    given = batcher(engine, system=SYSTEM, document="Empty below 24 V.")
    by_node = answer_all(given, [asked(1), asked(2, system="Short.")])
    by_ground = answer_all(
        batcher(engine, document="Empty below 24 V."),
        [asked(1, system=SYSTEM), asked(2, system="Short.")],
    )
    for number in (1, 2):
        assert by_node[number].prompt_tokens == by_ground[number].prompt_tokens
        assert by_node[number].text == by_ground[number].text


def test_prefill_in_pieces_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for batch in (512, 64):
        monkeypatch.setattr("node.engine.batching.BATCH_TOKENS", batch)
        engine = Engine(str(resolve("tiny")), settings(context=1024, sequences=1))
        done = one(engine, text="voltage and current " * 30, max_tokens=4)
        assert 64 < done.prompt_tokens < 512
        texts.append(done.text)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("sequences", [1, 2])
def test_a_small_context_reads_at_once_whatever_it_holds(sequences: int) -> None:
    """llama.cpp would take no more tokens at once than were asked for, and abort."""
    small = Engine(str(resolve("tiny")), settings(context=64, sequences=sequences))
    asking = [asked(number, text="Hm? " * 30) for number in range(sequences)]
    found = answer_all(batcher(small), asking)
    assert all(done.prompt_tokens > 64 and done.output_tokens for done in found.values())


def test_the_answer_ends_where_the_context_ends(engine: Engine) -> None:
    done = one(engine, max_tokens=10_000, sampling=HOT)
    assert done.prompt_tokens + done.output_tokens <= 256


def test_a_prompt_that_leaves_no_room_is_too_long(engine: Engine) -> None:
    found = answer_all(batcher(engine), [asked(1, text="word " * 400), asked(2)])
    assert isinstance(found[1], Refused)
    assert (found[1].reason, "context of 256" in found[1].detail) == ("too_long", True)
    assert isinstance(found[2], Done)


def test_a_prompt_may_leave_room_for_a_single_token(engine: Engine) -> None:
    words = 0
    left = engine.context
    while left > 1:
        words += 1
        busy = batcher(engine)
        busy.add(asked(1, text="a " * words, max_tokens=50))
        found = busy.admit()
        (slot,) = busy._slots
        left = slot.limit if engine.context - len(slot.prompt) < 50 else left
    assert engine.context - len(slot.prompt) == 1
    assert one(engine, text="a " * words, max_tokens=50).output_tokens <= 1
    assert isinstance(found[0], Started)


def test_a_cut_gives_what_there_is(engine: Engine) -> None:
    busy = batcher(engine)
    busy.add(asked(1, max_tokens=200, sampling=HOT))
    for _ in range(20):
        step(busy)
    (done,) = busy.cut(1)
    assert isinstance(done, Done)
    assert (done.finish_reason, busy.busy) == ("deadline", False)
    assert 10 < done.output_tokens < 25
    busy.add(asked(2))
    (never,) = busy.cut(2)
    assert never == Done(2, "", "deadline", 0, 0, 0)
    assert busy.cut(3) == []


def test_an_answer_is_told_of_while_it_is_written(engine: Engine) -> None:
    for number, sampling in ((1, GREEDY), (2, HOT)):
        busy = batcher(engine, tell_ns=1)
        busy.add(asked(number, max_tokens=60, sampling=sampling))
        events = []
        while busy.busy:
            events += step(busy)
        told = [event.text for event in events if isinstance(event, Wrote)]
        (done,) = (event for event in events if isinstance(event, Done))
        assert len(told) > 30
        assert all(done.text.startswith(text) for text in told)
    quiet = batcher(engine)
    quiet.add(asked())
    while quiet.busy:
        assert not any(isinstance(event, Wrote) for event in step(quiet))


def test_one_that_must_be_alone_waits_until_it_is(engine: Engine) -> None:
    busy = batcher(engine)
    busy.add(asked(1, max_tokens=8, sampling=HOT))
    busy.add(asked(2, alone=True, max_tokens=4, sampling=HOT))
    busy.add(asked(3, max_tokens=4, sampling=HOT))
    order = []
    while busy.busy:
        order += [(type(event), event.id) for event in step(busy)]
    assert order.index((Done, 1)) < order.index((Started, 2))
    assert order.index((Done, 2)) < order.index((Started, 3))


def test_a_choice_of_threads_is_kept(engine: Engine, tmp_path: Path) -> None:
    ticks = iter(range(0, 10**12, 10**8))  # long decodes are measured less often
    tuning = Engine(str(resolve("tiny")), settings(sequences=1))
    file = tmp_path / "choice.json"
    first = tuned(tuning, tuning.settings, [1], file=file, clock_ns=lambda: next(ticks))
    kept = tuned(tuning, tuning.settings, [1], file=file, clock_ns=lambda: 1 // 0)
    assert first == kept
    assert tuning.settings.flash == kept.flash
    (name,) = json.loads(file.read_text())
    good = json.loads(file.read_text())[name]
    for junk in (
        "junk", "", "[]", "null", "[" * 9999, "\xff", {name: None}, {name: []},
        {name: {"threads": 1}}, {name: good | {"threads": 2}},
        {name: good | {"threads": "1"}}, {name: good | {"threads": 1.0}},
        {name: good | {"flash": 1}}, {name: good | {"step_ns": 0}}, {name: good | {"more": 1}},
        {name: good | {"step_ns": "1"}}, {name: good | {"prefill_ns": float("inf")}},
        {name: good | {"prefill_ns": float("nan")}},
    ):  # fmt: skip
        text = junk if isinstance(junk, str) else json.dumps(junk)
        file.write_bytes(text.encode("latin-1"))
        assert tuned(tuning, tuning.settings, [1], file=file, clock_ns=lambda: next(ticks))
        assert tuned(tuning, tuning.settings, [1], file=file, clock_ns=lambda: 1 // 0)
    file.unlink()
    file.mkdir()
    file.with_suffix(".part").mkdir()
    assert tuned(tuning, tuning.settings, [1], file=file, clock_ns=lambda: next(ticks))


def test_a_quantized_cache_gives_an_answer() -> None:
    quantized = Engine(str(resolve("tiny")), settings(kv="q8_0", sequences=1))
    assert one(quantized).output_tokens


def test_a_file_that_is_no_model_is_refused(tmp_path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"nothing")
    with pytest.raises(BadModel, match=r"x\.gguf"):
        Engine(str(path), settings())


@pytest.fixture
def adapter(tmp_path: Path):
    def make(scale: float) -> str:
        path = tmp_path / f"{scale:g}.gguf"
        write_adapter(path, scale=scale)
        return str(path)

    return make


def test_an_adapter_changes_what_is_said_and_none_does_not(engine: Engine, adapter) -> None:
    """Also after the context was opened anew, as it is while threads are measured."""
    words = {}
    for scale in (0.0, 1.0):
        changed = Engine(str(resolve("tiny")), settings(), adapter(scale))
        words[scale] = one(changed).text
        changed.open(settings(sequences=2))
        assert one(changed).text == words[scale]
    plain = one(engine).text
    assert words[0.0] == plain != words[1.0]


def test_an_adapter_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.gguf"
    write_adapter(path, tensors={"blk.99.attn_q.weight.lora_a": (256, 4)})
    with pytest.raises(BadModel, match=r"adapter\.gguf: expected an adapter that llama.cpp loads"):
        Engine(str(resolve("tiny")), settings(), str(path))


def test_what_is_kept_with_an_adapter_is_kept_apart(engine: Engine, adapter) -> None:
    paths = [resolve("tiny"), Path(adapter(1.0))]
    assert state_key(paths, engine.settings) != state_key(paths[:1], engine.settings)
