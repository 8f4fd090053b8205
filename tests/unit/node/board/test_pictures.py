"""Images on board."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from node.board.folder import NotThere
from node.board.pictures import Pictures
from roundtrip.errors import BadConfig
from roundtrip.onboard import CameraConfig

Image = pytest.importorskip("PIL.Image")


def pictures(folder: Path, **limits: int) -> Pictures:
    return Pictures(CameraConfig(folder=str(folder), **limits))


def test_an_image_is_made_small_enough(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "a.png")
    taken = pictures(tmp_path, max_tokens=64, pixels_per_token=784).take("a.png")
    assert taken.size == (tmp_path / "a.png").stat().st_size
    head, _, data = taken.url.partition(",")
    assert head == "data:image/jpeg;base64"
    small = Image.open(io.BytesIO(base64.b64decode(data)))
    assert small.format == "JPEG"
    assert small.width * small.height <= 64 * 784
    assert small.width == pytest.approx(2 * small.height, rel=0.02)
    assert small.width * small.height > 0.95 * 64 * 784


def test_a_small_one_stays_as_large_as_it_is(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 10)).save(tmp_path / "a.png")
    taken = pictures(tmp_path).take("a.png")
    assert Image.open(io.BytesIO(taken.data)).size == (20, 10)


@pytest.mark.parametrize("name", ["b.png", "../a.png", "text.png", "half.png"])
def test_what_is_no_image_is_not_there(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    Image.new("RGB", (300, 300), "red").save(tmp_path / "a.png")
    (folder / "text.png").write_text("hello")
    (folder / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:-60])
    with pytest.raises(NotThere):
        pictures(folder).take(name)


def test_a_folder_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"node\.camera: folder: .*a folder that is there"):
        pictures(tmp_path / "none")
