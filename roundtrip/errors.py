"""The error tree. Errors carry fields, not only text; a missed budget is a result, not an error.

GroundloopError
├── BadInput            exit 104  something from outside is wrong: names file, key, found, expected
│   ├── BadConfig       scenario, contact plan, profile
│   ├── BadModel        GGUF file
│   └── BadMessage      bytes from a peer (always turned into an output, never seen by a driver)
│       └── UnknownDictionary   a text packed with a dictionary that this end does not have
├── EnvironmentFault    exit 1    the machine we run on: busy port, no relay, engine cannot start
├── ChildFailed         its own   a process that we started has ended with an error of its own
└── Stopped             exit 1    the operator ended it before there was anything to measure
"""

from __future__ import annotations

from roundtrip.words import shown

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_OBJECTIVE_MISSED = 99
EXIT_BAD_INPUT = 104

LONGEST_LINE = 2000
"""Characters of an error; what is longer is cut."""


class GroundloopError(Exception):
    """Base of every error a user may see as one line."""

    exit_code = EXIT_FAILURE


class BadInput(GroundloopError):
    """Something from outside does not hold what it must.

    Args:
        source: the file, socket or message it came from.
        key: the key, field or byte offset within it; empty when the whole source is meant.
        expected: what would have been right.
        found: what was there instead.
    """

    exit_code = EXIT_BAD_INPUT

    def __init__(self, source: str, key: str, expected: str, found: str) -> None:
        self.source = source
        self.key = key
        self.expected = expected
        self.found = found
        where = f"{source}: {key}" if key else source
        line = shown(f"{where}: expected {expected}, found {found}")
        super().__init__(line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…")


class BadConfig(BadInput):
    """A scenario, contact plan or profile file is wrong."""


class BadModel(BadInput):
    """A GGUF file is missing, damaged, or not a model this node can run."""


class BadMessage(BadInput):
    """Bytes from a peer do not decode. `key` is the offset or field."""


class OtherRelease(BadMessage):
    """A message as another release of ours writes them."""

    def __init__(self) -> None:
        super().__init__("message", "kind", "a message of this release", "one of another release")


class UnknownDictionary(BadMessage):
    """A text is packed with a method or dictionary that this end does not have; unpacked it would
    be understood.

    Args:
        method: the id that the text begins with.
    """

    def __init__(self, method: int) -> None:
        self.method = method
        super().__init__("text", "offset 0", "a method and dictionary of this end", str(method))


class EnvironmentFault(GroundloopError):
    """The machine we run on does not allow it.

    Args:
        what: what failed, with its name ("bind tcp://127.0.0.1:5555").
        why: the reason, as the system gave it.
        remedy: what the operator can do.
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(f"{what}: {why}; {remedy}")


class ChildFailed(GroundloopError):
    """A process that we started has ended by itself.

    Args:
        name: which.
        what: its own error line.
        exit_code: its exit code, or 1 when a signal ended it.
    """

    def __init__(self, name: str, what: str, exit_code: int) -> None:
        self.name = name
        self.what = what
        self.exit_code = exit_code
        super().__init__(what if what.startswith(f"{name}:") else f"{name}: {what}")


class Stopped(GroundloopError):
    """The operator ended it, or what it needs did, before there was anything to measure."""
