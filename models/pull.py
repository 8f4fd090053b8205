"""Fetches a published model with huggingface_hub into its cache, and trusts it only when size and
sha256 are right.

A file with the wrong content is taken out again; what was there and good before stays. Where a
verified file lies is noted in our own cache, so that using it later costs no second checksum and no
network.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from models.cache import cache_dir
from models.catalogue import Published
from models.gguf.inspect import sha256
from roundtrip.errors import BadModel, EnvironmentFault


def pulled(entry: Published) -> Path | None:
    """The verified file of an entry; None where it was not pulled, or has changed since."""
    try:
        note = json.loads(_note(entry).read_text())
        path = Path(note["path"])
        stat = path.stat()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = (stat.st_size, stat.st_mtime_ns, entry.sha256)
    return path if same == (note["bytes"], note["mtime_ns"], note["sha256"]) else None


def pull(entry: Published, *, offline: bool = False) -> Path:
    """Fetch an entry, or find it in huggingface_hub's cache, and verify it.

    An interrupted download goes on where it broke off. `HF_ENDPOINT`, `HF_HOME` and
    `HF_HUB_OFFLINE` mean what they mean to huggingface_hub.

    Raises:
        BadModel: what was fetched is not what the catalogue says.
        EnvironmentFault: it cannot be fetched.
    """
    there = pulled(entry)
    if there is not None:
        return there
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    path = _cached(entry)
    if path is None:
        path = _fetch(entry, offline=offline)
        _check(entry, path)
    _remember(entry, path)
    return path


def _fetch(entry: Published, *, offline: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    what = f"pull {entry.name}"
    try:
        found: Any = hf_hub_download(
            entry.repository, entry.file, revision=entry.revision, local_files_only=offline
        )
    except LocalEntryNotFoundError as error:
        cause = error.__cause__ or error
        if offline or os.environ.get("HF_HUB_OFFLINE"):
            why, remedy = "not in the cache", "pull it once with a network"
        else:
            why, remedy = _line(cause), "check the network, or HF_ENDPOINT, and pull again"
        raise EnvironmentFault(what, why, remedy) from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        remedy = "wait a little and pull again" if status == 429 else "check HF_ENDPOINT"
        raise EnvironmentFault(what, f"the server answered {status}", remedy) from None
    except Exception as error:  # noqa: BLE001 - the hub's HTTP library has its own errors
        raise EnvironmentFault(
            what, _line(error), "pull again; it goes on where it broke off"
        ) from None
    return Path(found)


def _cached(entry: Published) -> Path | None:
    """A good copy in any snapshot of huggingface_hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{entry.repository.replace('/', '--')}" / "snapshots"
    for path in sorted(folder.glob(f"*/{entry.file}")):
        if path.exists() and path.stat().st_size == entry.bytes and sha256(path) == entry.sha256:
            return path
    return None


def _check(entry: Published, path: Path) -> None:
    size_bytes = path.stat().st_size
    if size_bytes != entry.bytes:
        _discard(path)
        raise BadModel(entry.file, "size", f"{entry.bytes} bytes", f"{size_bytes}; it is not kept")
    found = sha256(path)
    if found != entry.sha256:
        _discard(path)
        raise BadModel(entry.file, "sha256", entry.sha256, f"{found}; it is not kept")


def _discard(path: Path) -> None:
    """Take a wrong file out of the hub's cache: the snapshot's link and the content behind it."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)


def _remember(entry: Published, path: Path) -> None:
    stat = path.stat()
    note = _note(entry)
    note.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "path": str(path.absolute()),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": entry.sha256,
    }
    note.with_suffix(".new").write_text(json.dumps(fields))
    note.with_suffix(".new").replace(note)


def _note(entry: Published) -> Path:
    return cache_dir() / "pulled" / f"{entry.name}.json"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
