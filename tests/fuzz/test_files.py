"""Some hundred changes of every kind of file, the same each time."""

from __future__ import annotations

import random

import pytest

from roundtrip.errors import BadInput
from tests.fuzz.files import FILE_TARGETS, file_seeds
from tests.fuzz.mutate import mutated

CHANGES = {
    "scenario": 200,
    "questions": 80,
    "tle": 60,
    "keys": 400,
    "profile": 120,
    "folder": 200,
    "feed": 400,
    "trace": 400,
}


@pytest.mark.parametrize("name", sorted(FILE_TARGETS))
def test_good_files_are_taken(name: str) -> None:
    for seed in file_seeds(name):
        FILE_TARGETS[name](seed)


@pytest.mark.parametrize("name", sorted(FILE_TARGETS))
def test_whatever_a_file_holds_only_an_error_of_ours_comes_out(name: str) -> None:
    refused = 0
    for number in range(CHANGES[name]):
        rng = random.Random(f"{name} {number}")
        data = mutated(rng.choice(file_seeds(name)), rng)
        try:
            FILE_TARGETS[name](data)
        except BadInput as error:
            refused += str(error).isprintable()
        except Exception as error:
            raise AssertionError(f"{name} {number}: {data[-3000:]!r}") from error
    assert CHANGES[name] / 8 < refused < CHANGES[name]
