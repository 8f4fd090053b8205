"""The key file that ground and node share, and the security they make of it.

Two keys at most, so that a rotation needs no moment at which both ends change at once. The file is
for its owner alone, mode 0600, and is refused otherwise. A secret must never be printed, logged, or
put into an error. What the keys are for: RFC 9173; rotation is ours.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.security import Rule, Security
from roundtrip.errors import BadConfig, EnvironmentFault
from roundtrip.files import decoded, parse_toml
from roundtrip.modem import Side
from roundtrip.transport import ENDPOINTS

KEYS_VARIABLE = "GROUNDLOOP_KEYS"
"""Names the key file, if it is not the usual one."""
FILE_MODE = 0o600
SECRET_BYTES = 32
"""For HMAC 256/256 and A256GCM alike."""
MAX_FILE_BYTES = 16_384

_ID_BYTES = 4

RandomBytes = Callable[[int], bytes]
Secret = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class SharedKey:
    """One generation of secrets: one to sign with, one to encrypt with."""

    key_id: str
    signing: bytes = field(repr=False)
    encrypting: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tells whether two files hold the same key, and nothing else of it."""
        secrets = b"groundloop key" + self.signing + self.encrypting
        digest = hashlib.sha256(secrets).hexdigest()
        return " ".join(digest[at : at + 4] for at in range(0, 16, 4))


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """What a key file holds."""

    keys: tuple[SharedKey, ...]
    """One, or two during a rotation; all are accepted."""
    sending: str
    """Id of the key that what we send is secured with."""

    @property
    def signing(self) -> tuple[bytes, ...]:
        """The secrets that sign, the sending key's first."""
        return tuple(key.signing for key in self._ordered)

    @property
    def _ordered(self) -> list[SharedKey]:
        return sorted(self.keys, key=lambda key: key.key_id != self.sending)

    @property
    def ring(self) -> KeyRing:
        """The same for the transport: the sending key comes first."""
        ordered = self._ordered
        return KeyRing(
            signing=tuple(HmacKey(ShaVariant.HMAC_256, key.signing) for key in ordered),
            encrypting=tuple(AesKey(AesVariant.A256GCM, key.encrypting) for key in ordered),
        )


def keys_path(environ: Mapping[str, str]) -> Path:
    """Where the key file is: `$GROUNDLOOP_KEYS`, else `~/.config/groundloop/keys.toml`."""
    named = environ.get(KEYS_VARIABLE)
    return Path(named) if named else Path.home() / ".config" / "groundloop" / "keys.toml"


def new_keys(random_bytes: RandomBytes) -> SharedKeys:
    """A first generation of keys."""
    key = _new_key(random_bytes)
    return SharedKeys((key,), key.key_id)


def rotated(keys: SharedKeys, random_bytes: RandomBytes) -> SharedKeys:
    """The next step of a rotation.

    From one key in use: a new one is accepted as well, the old one still sends. From there: the new
    one sends, the old one is still accepted. From there on: the old one goes, another comes. The
    two ends may be one step apart at any time.
    """
    last = keys.keys[-1]
    if last.key_id != keys.sending:
        return SharedKeys(keys.keys, last.key_id)
    return SharedKeys((last, _new_key(random_bytes)), last.key_id)


def link_security(keys: SharedKeys, side: Side, *, random_bytes: RandomBytes) -> Security:
    """What one end's bundle agent secures with: everything to and from the other end.

    Args:
        keys: shared with the other end.
        side: which end this is.
        random_bytes: unforeseeable live, a seeded stream in virtual time.
    """
    peer = ENDPOINTS[Side.NODE if side is Side.GROUND else Side.GROUND]
    rule = Rule(peer, keys.ring)
    return Security([rule], random_bytes=random_bytes)


def load_or_make_keys(path: Path, random_bytes: RandomBytes) -> SharedKeys:
    """Read the key file; make it if there is none.

    Raises:
        BadConfig: it is not one, or not its owner's alone.
        EnvironmentFault: it cannot be made.
    """
    if _is_missing(path):
        with suppress(FileExistsError):  # when another process was first
            write_keys(path, new_keys(random_bytes))
    return read_keys(path)


def read_keys(path: Path) -> SharedKeys:
    """Read the key file.

    Raises:
        BadConfig: there is none, it is not its owner's alone, or holds something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        expected = "a key file; `groundloop keys new` makes one"
        raise BadConfig(str(path), "", expected, "no file") from None
    except OSError as error:
        raise BadConfig(str(path), "", "a readable key file", str(error.strerror)) from None
    try:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise BadConfig(str(path), "", "a regular file", "something else")
        if mode != FILE_MODE:
            raise BadConfig(str(path), "mode", f"{FILE_MODE:04o}", f"{mode:04o}")
        data = os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise BadConfig(str(path), "", f"at most {MAX_FILE_BYTES} bytes", "more")
    return _parsed(str(path), data)


def write_keys(path: Path, keys: SharedKeys, *, replace: bool = False) -> None:
    """Write the key file, whole or not at all.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        EnvironmentFault: the system does not allow it.
    """
    text = tomli_w.dumps(
        {
            "version": 1,
            "sending": keys.sending,
            "keys": [
                {
                    "id": key.key_id,
                    "signing": key.signing.hex(),
                    "encrypting": key.encrypting.hex(),
                }
                for key in keys.keys
            ],
        }
    )
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(scratch, flags, FILE_MODE), "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if replace:
            scratch.replace(path)
        else:
            path.hardlink_to(scratch)
    except FileExistsError:
        raise
    except OSError as error:
        what = f"write {path}"
        remedy = f"make its folder writable, or name another file in {KEYS_VARIABLE}"
        raise EnvironmentFault(what, str(error.strerror), remedy) from None
    finally:
        scratch.unlink(missing_ok=True)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _new_key(random_bytes: RandomBytes) -> SharedKey:
    key_id = "k" + random_bytes(_ID_BYTES).hex()
    return SharedKey(key_id, random_bytes(SECRET_BYTES), random_bytes(SECRET_BYTES))


class _Entry(BaseModel):
    """`[[keys]]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    signing: Secret
    encrypting: Secret


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: int = Field(ge=1, le=1)
    sending: str
    keys: tuple[_Entry, ...] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _agrees(self) -> _File:
        ids = [key.id for key in self.keys]
        secrets = [secret for key in self.keys for secret in (key.signing, key.encrypting)]
        if len(set(ids)) != len(ids) or len(set(secrets)) != len(secrets):
            raise ValueError("ids and secrets that all differ")
        if self.sending not in ids:
            raise ValueError("`sending` to be the id of one of the keys")
        return self


def _parsed(source: str, data: bytes) -> SharedKeys:
    """The content of a key file. Its errors name places, never what stands there."""
    try:
        table = parse_toml(decoded(data, source), source)
    except BadConfig:
        raise BadConfig(source, "", "a TOML file", "other text") from None
    try:
        content = _File.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        expected = first["msg"].removeprefix("Value error, ")
        raise BadConfig(source, key, expected, "something else") from None
    keys = tuple(
        SharedKey(key.id, bytes.fromhex(key.signing), bytes.fromhex(key.encrypting))
        for key in content.keys
    )
    return SharedKeys(keys, content.sending)
