from __future__ import annotations

from pathlib import Path

import pytest

from models.catalogue import CATALOGUE, load_catalogue
from roundtrip.errors import BadConfig


def test_the_shipped_catalogue_is_whole() -> None:
    entries = load_catalogue()
    sizes = {name.split("-")[1] for name in entries}
    assert sizes == {"0.6b", "1.7b", "4b", "8b"}
    assert len({entry.sha256 for entry in entries.values()}) == len(entries)
    assert all(entry.licence == "Apache-2.0" for entry in entries.values())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("bytes = 639446688", "bytes = -1", "model.0.bytes"),
        ("9465e63a", "9465E63A", "model.0.sha256"),
        ('licence = "Apache-2.0"', 'colour = "red"', "model.0"),
        ("qwen3-1.7b-q8_0", "qwen3-0.6b-q8_0", "model.2.name"),
        ("[[model]]", "[[model", ""),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE.read_text().replace(old, new, 1))
    with pytest.raises(BadConfig) as caught:
        load_catalogue(path)
    assert caught.value.source == str(path)
    assert caught.value.key.startswith(key)
