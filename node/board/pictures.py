"""Images on board, made small enough for an engine that can see. Experimental; needs Pillow, the
extra `camera`."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from node.board.folder import NotThere, file_in
from roundtrip.errors import BadConfig
from roundtrip.onboard import CameraConfig

MAX_BYTES = 64 << 20
"""Of a file."""
MAX_PIXELS = 200_000_000
QUALITY = 85
"""Of the JPEG that the engine gets."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as the engine gets it."""

    data: bytes
    """JPEG."""
    size: int
    """Bytes of the file on board."""

    @property
    def url(self) -> str:
        """As a data URL."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.data).decode()}"


class Pictures:
    """The camera's folder.

    Args:
        config: says where, and what an engine needs for an image.

    Raises:
        BadConfig: Pillow is not installed, or there is no such folder.
    """

    def __init__(self, config: CameraConfig) -> None:
        if find_spec("PIL") is None:
            raise BadConfig("node.camera", "", "the extra `camera` (Pillow)", "none")
        if not Path(config.folder).is_dir():
            raise BadConfig("node.camera", "folder", "a folder that is there", config.folder)
        self._folder = Path(config.folder)
        self._pixels = config.max_tokens * config.pixels_per_token

    def take(self, name: str) -> Picture:
        """An image, made smaller until it has no more pixels than there is room for.

        Raises:
            NotThere: there is no such image, or it is none.
        """
        from PIL import Image, UnidentifiedImageError

        data = file_in(self._folder, name, MAX_BYTES)
        try:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise NotThere(f"{name}: {width} x {height} pixels are too many")
                shrink = math.sqrt(self._pixels / (width * height))
                small = image.convert("RGB")
                if shrink < 1:
                    size = max(1, int(width * shrink)), max(1, int(height * shrink))
                    small = small.resize(size)
                out = io.BytesIO()
                small.save(out, "JPEG", quality=QUALITY)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
            raise NotThere(f"{name}: no image: {type(error).__name__}") from None
        return Picture(out.getvalue(), len(data))
