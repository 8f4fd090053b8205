"""`[node.radiation]`: how often single-event upsets come, and what is done against them.

Sources of the presets: in eight years on Alsat-1 (686 km, Sun-synchronous) commercial memories had
4.04e-7 upsets per bit and day, 98.6 % of them of a single bit (Bentoutou, "A Review of in-orbit
Observations of Radiation-Induced Effects in Commercial Memories onboard Alsat-1"). On UoSAT-2 (700
km, near-polar) they were overwhelmingly in the South Atlantic Anomaly (Underwood, "In-orbit
radiation effects monitoring on the UoSAT satellites"). That all of them come in a tenth of the time
is a choice. These memories are SRAM of the 1990s: a chip's own figure is better than any preset.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PRESETS = {"none": 0.0, "leo": 4.04e-7, "saa": 4.04e-6}
"""Upsets per bit and day: of an orbit's average, and while the anomaly is crossed."""
QUEUE_BITS = 8 << 20
"""Of the bundles that wait on board at most; where fewer wait there is nothing to be hit."""
MOST = 1.0
"""Upsets per bit and day: that is millions of times those of any orbit."""


class RadiationConfig(BaseModel):
    """`[node.radiation]`: upsets that are made, and what is done against those that come."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    environment: Literal["none", "leo", "saa"] = "none"
    """Makes upsets as often as low Earth orbit has them on average, or the South Atlantic Anomaly;
    `none`: none, on a node that has real ones."""
    flips_per_bit_day: Annotated[float, Field(ge=0, le=1)] | None = None
    """Instead of `environment`: what the memory's maker or a flight says."""
    times: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    """So much more often."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of where and when upsets are made."""
    scrub: bool = True
    """Check the weights all the time, mend them, and give no answer before they were found whole
    after it."""
    probe_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """While there is nothing to do, the weights are checked and a probe question is asked this
    often."""

    @model_validator(mode="after")
    def _one_rate(self) -> RadiationConfig:
        if self.flips_per_bit_day is not None and self.environment != "none":
            raise ValueError("either environment or flips_per_bit_day")
        if self.rate > MOST:
            raise ValueError(f"times so that there are at most {MOST:g} flips per bit and day")
        return self

    @property
    def rate(self) -> float:
        """Upsets per bit and day."""
        given = self.flips_per_bit_day
        return self.times * (PRESETS[self.environment] if given is None else given)
