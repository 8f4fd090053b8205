"""The engine in this process, on the `tiny` model."""

from __future__ import annotations

import pytest

from models.resolve import resolve
from node.chat import prompt
from node.engine import Engine, TooLong
from roundtrip.errors import BadModel
from roundtrip.message import GREEDY, Sampling

PIECES = prompt(text="What is the battery voltage?", system="", thinking=False)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(str(resolve("tiny")), context=256, threads=1, use_extra_bufts=False)


def answer(engine: Engine, sampling: Sampling, max_tokens: int = 12, thinking: bool = False) -> str:
    return engine.answer(
        PIECES,
        max_tokens=max_tokens,
        sampling=sampling,
        thinking=thinking,
        on_first_token=lambda: None,
    ).text


def test_the_self_test_passes(engine: Engine) -> None:
    engine.self_test()


def test_text_survives_tokens_and_back(engine: Engine) -> None:
    for text in ("Hello, world", "Größe 日本語 🛰", "a\n\n  b\t<|im_end|>"):
        pieces = prompt(text=text, system="", thinking=False)
        user = next(piece for piece in pieces if text in piece.text)
        tokens = engine.tokens_of([user])
        assert engine.text_of(tokens) == user.text
        assert not set(tokens) & set(engine._special.values())


def test_greedy_gives_the_same_answer_again(engine: Engine) -> None:
    assert answer(engine, GREEDY) == answer(engine, GREEDY)


def test_sampling_follows_its_seed(engine: Engine) -> None:
    answers = [answer(engine, Sampling(seed=seed)) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_prefill_in_pieces_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = prompt(text="voltage and current " * 30, system="", thinking=False)
    texts = []
    for batch in (512, 64):
        monkeypatch.setattr("node.engine.PREFILL_BATCH", batch)
        engine = Engine(str(resolve("tiny")), context=1024, threads=1, use_extra_bufts=False)
        generation = engine.answer(
            pieces, max_tokens=4, sampling=GREEDY, thinking=False, on_first_token=lambda: None
        )
        assert 64 < generation.prompt_tokens < 512
        texts.append(generation.text)
    assert texts[0] == texts[1]


def test_the_answer_ends_where_the_context_ends(engine: Engine) -> None:
    room = 256 - len(engine.tokens_of(PIECES))
    generation = engine.answer(
        PIECES,
        max_tokens=10_000,
        sampling=Sampling(temperature=2.0, top_p=1.0, top_k=0, seed=1),
        thinking=False,
        on_first_token=lambda: None,
    )
    assert generation.output_tokens <= room


def test_a_prompt_that_leaves_no_room_is_too_long(engine: Engine) -> None:
    with pytest.raises(TooLong, match="context of 256"):
        engine.answer(
            prompt(text="word " * 400, system="", thinking=False),
            max_tokens=1,
            sampling=GREEDY,
            thinking=False,
            on_first_token=lambda: None,
        )


def test_thinking_that_is_never_closed_leaves_no_answer(engine: Engine) -> None:
    assert answer(engine, GREEDY, thinking=True) == ""


def test_a_file_that_is_no_model_is_refused(tmp_path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"nothing")
    with pytest.raises(BadModel, match=r"x\.gguf"):
        Engine(str(path), context=64, threads=1)
