"""Text files from outside, read whole: UTF-8, a byte order mark dropped, as text, TOML or JSON.

Never waits (a pipe is no file), never reads without bound where a limit is given, and turns
whatever a file may hold into one BadConfig.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from roundtrip.errors import BadConfig

MAX_TOML_BYTES = 16 << 20
"""A year of contacts with their ranges, and 10,000 questions, written out."""
MAX_DEPTH = 32
"""Of tables and arrays in each other. A scenario has 5; `tomllib` takes quadratic time for the
parts of a key, and recurses for brackets."""
MAX_MARKS = 2_000_000
"""Of what stands between values: `tomllib` takes some 10 us for each."""

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_TOKENS = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{0,5}|'
    r"""'''(?:[^']|'{1,2}(?!'))*+'{0,5}|"""
    r'"(?:[^"\\\n]|\\.)*+"?|'
    r"'[^'\n]*+'?|"
    r"#[^\n]*+|"
    r"(?P<mark>[\[\]{}.=,\n])",
    re.DOTALL,
)
"""Strings and comments, which may hold marks that nest nothing, and those that do. Possessive, and
closing quotes need not be there, so that no text takes more than one look at each character."""

_UNION = re.compile(r"[\[(]|^float$|^int$|^str$|^constrained-")
"""Parts of pydantic's places that name a type of several, not a key."""


def read_text(path: Path, what: str, *, limit_bytes: int | None = None) -> str:
    """The text of a file.

    Args:
        path: a regular file.
        what: how errors call it: "a scenario file".
        limit_bytes: a longer one is refused.

    Raises:
        BadConfig: it cannot be read, is no regular file, too long, or not UTF-8.
    """
    try:
        source = str(path)
        source.encode()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadConfig(source, "", f"{what} that is a regular file", "something else")
            data = file.read() if limit_bytes is None else file.read(limit_bytes + 1)
    except UnicodeEncodeError:
        raise BadConfig(repr(str(path)), "", "a path in UTF-8", "other bytes") from None
    except ValueError:
        raise BadConfig(source, "", "a path", "a NUL character in it") from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise BadConfig(source, "", f"{what} that can be read", found) from None
    if limit_bytes is not None and len(data) > limit_bytes:
        raise BadConfig(source, "", f"{what} of at most {limit_bytes} bytes", "more")
    return decoded(data, source)


def decoded(data: bytes, source: str) -> str:
    """Bytes as UTF-8, without a byte order mark.

    Raises:
        BadConfig: they are none.
    """
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise BadConfig(source, "", "UTF-8", found) from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The table in a TOML text.

    Raises:
        BadConfig: it is no TOML, or nested too deep.
    """
    _check_depth(text, source)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of 5,000 digits
        what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "too long a number"
        raise BadConfig(source, "", "TOML", what) from None


def _check_depth(text: str, source: str) -> None:
    """Count brackets and the parts of keys, which are what is nested, and all there is."""
    brackets = parts = 0
    for number, token in enumerate(_TOKENS.finditer(text)):
        mark = token["mark"]
        if number > MAX_MARKS:
            raise BadConfig(source, "", f"at most {MAX_MARKS:,} lines, keys and values", "more")
        if mark is None:
            continue
        if mark == ".":
            parts += 1
        else:
            parts = 0
            brackets += (mark in "[{") - (mark in "]}")
        if max(brackets, parts) >= MAX_DEPTH:
            line = text.count("\n", 0, token.start()) + 1
            expected = f"at most {MAX_DEPTH} levels of tables, keys and arrays"
            raise BadConfig(source, f"line {line}", expected, "more")


def parse_json(text: str, source: str) -> Any:
    """The value in a JSON text; strict: no infinity, no lone surrogate, no endless depth.

    Raises:
        BadConfig: it is none.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise BadConfig(source, "", "JSON", str(error)) from None


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        BadConfig: as `read_text` and `parse_toml`.
    """
    return parse_toml(read_text(path, what, limit_bytes=MAX_TOML_BYTES), str(path))


def bad_config(error: ValidationError, source: str) -> BadConfig:
    """The first thing that pydantic found in what a file holds, in our words."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if not _UNION.search(str(part)))
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "wrong":
        context = first["ctx"]
        key, expected, found = context["key"], context["expected"], context["found"]
    elif first["type"] == "extra_forbidden":
        expected, found = "a known key", "an unknown one"
    elif first["type"] == "missing":
        expected, found = expected.replace("Field required", "a value"), "nothing"
    elif isinstance(first["input"], dict):
        found = "this section as it stands"
    else:
        found = repr(first["input"])[:80]
    return BadConfig(source, key, expected, found)
