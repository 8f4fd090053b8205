"""Keys of the lengths that there are, so many of a kind, each with one use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dtn.bpsec.keys import MAX_KEYS, AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey

Key = HmacKey | AesKey | WrappingKey


def secret(number: int) -> bytes:
    return bytes([number]) * 32


KINDS: dict[str, Callable[[int], Key]] = {
    "signing": lambda number: HmacKey(ShaVariant.HMAC_256, secret(number)),
    "encrypting": lambda number: AesKey(AesVariant.A256GCM, secret(number)),
    "signing_wrapping": lambda number: WrappingKey(secret(number)),
    "encrypting_wrapping": lambda number: WrappingKey(secret(number)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_holds_so_many_keys_of_a_kind(kind: str) -> None:
    keys = tuple(KINDS[kind](number) for number in range(MAX_KEYS + 1))
    assert getattr(KeyRing(**{kind: keys[:-1]}), kind) == keys[:-1]
    with pytest.raises(ValueError, match=f"more than {MAX_KEYS} keys"):
        KeyRing(**{kind: keys})


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_has_one_use(kind: str, other: str) -> None:
    twice = {other: (KINDS[other](1),)}
    twice[kind] = (*twice.get(kind, ()), KINDS[kind](1))
    with pytest.raises(ValueError, match="one secret with two uses"):
        KeyRing(**twice)


@pytest.mark.parametrize("size_bytes", [0, 15, 16, 17, 24, 31, 32, 33])
def test_a_key_has_a_length_of_its_kind(size_bytes: int) -> None:
    def fits(make: Callable[[], Key]) -> bool:
        try:
            make()
        except ValueError:
            return False
        return True

    data = bytes(size_bytes)
    assert fits(lambda: WrappingKey(data)) is (size_bytes in (16, 24, 32))
    assert fits(lambda: AesKey(AesVariant.A128GCM, data)) is (size_bytes == 16)
    assert fits(lambda: AesKey(AesVariant.A256GCM, data)) is (size_bytes == 32)


def test_a_secret_is_not_shown() -> None:
    for make in KINDS.values():
        assert "secret" not in repr(make(65))
