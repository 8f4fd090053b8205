"""`[node]` of a scenario file, and its sections."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from roundtrip.config import (
    Cores,
    Line,
    Megabytes,
    Probability,
    Seconds,
    Section,
    Watts,
    zero_or,
)
from roundtrip.onboard import CameraConfig, TelemetryConfig, ToolsConfig
from roundtrip.radiation import RadiationConfig

LLAMA = "llama.cpp"


def _engine(text: str) -> str:
    if text != LLAMA and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise ValueError("llama.cpp, or a server's URL such as http://127.0.0.1:8080")
    return text


class EnergyConfig(Section):
    """`[node.energy]`: the battery and what fills it; the watts are the profile's `[power]`."""

    battery_wh: Annotated[float, Field(ge=1e-3, le=1e9)]
    """What it holds."""
    floor: Probability = 0.3
    """Share of the battery below which only urgent questions are answered."""
    start: Probability = 1.0
    """Share at the beginning."""
    solar_w: Watts
    """From the panels in sunlight, all losses taken off."""
    bus_w: Watts = 0.0
    """What the rest of the satellite draws all the time."""
    orbit_min: Annotated[float, Field(ge=1, le=1e6)] = 95.0
    """Without `[orbit]`: length of one orbit; 95 min at 550 km."""
    eclipse_min: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Without `[orbit]`: darkness at the end of each."""

    @model_validator(mode="after")
    def _some_sun(self) -> EnergyConfig:
        if self.eclipse_min > self.orbit_min:
            raise ValueError("eclipse_min must not be more than orbit_min")
        return self


class ThermalConfig(Section):
    """`[node.thermal]`: what heat does to the engine. The limits are a choice: a Raspberry Pi's
    firmware slows its processor from 80 degrees on, and hard from 85 (Raspberry Pi documentation,
    "Frequency management and thermal control")."""

    reduce_c: Annotated[float, Field(ge=-100, le=200)] = 76.0
    """Half the threads from here on."""
    pause_c: Annotated[float, Field(ge=-100, le=200)] = 84.0
    """No further question from here on."""
    margin_c: Annotated[float, Field(ge=0.01, le=100)] = 5.0
    """So much cooler, and it is taken back."""

    @model_validator(mode="after")
    def _in_order(self) -> ThermalConfig:
        if self.pause_c <= self.reduce_c:
            raise ValueError("pause_c must be more than reduce_c")
        return self


class NodeConfig(Section):
    """`[node]`."""

    satellite: Line = ""
    """Which `[[satellite]]` it is on, by name; the first where none is given."""
    model: Line = "builtin"
    """A GGUF file (relative to the scenario file), or a name that `groundloop models` knows."""
    engine: Annotated[Line, AfterValidator(_engine)] = LLAMA
    """Or the URL of an OpenAI-compatible server on board, which has the model by the name above."""
    threads: int = Field(default=0, ge=0, le=1024)
    """0: one per physical core."""
    memory_mb: Megabytes = 0
    """What the engine may have, in MB of 10^6 bytes; 0: no limit of ours."""
    cpu_cores: Cores = 0
    """What the engine may use; 0: no limit of ours."""
    context: int = Field(default=2048, ge=64, le=1_048_576)
    """Tokens of a question and its answer."""
    queue: int = Field(default=256, gt=0, le=100_000)
    """Questions waiting on board; more are refused with `queue_full`."""
    sequences: int = Field(default=0, ge=0, le=64)
    """Questions answered at once; 0: as many as is fastest in all, and has room, 8 at most."""
    policy: Literal["deadline", "edf", "fifo"] = "deadline"
    """Which question goes first; only `deadline` refuses and cuts for lack of time."""
    kv: Literal["f16", "q8_0"] = "f16"
    """Type of the KV cache."""
    speculate: bool = True
    """Guess tokens from the prompt and earlier answers, and check several at once."""
    draft: Line = ""
    """A smaller model with the same vocabulary that guesses tokens (speculative decoding)."""
    lock: bool = False
    """Keep the model in memory (mlock)."""
    adapter: Line = ""
    """A LoRA adapter for the model: a GGUF file."""
    system: Line = ""
    """A text file on board: the system prompt of questions that bring none."""
    document: Line = ""
    """A text file on board that every system prompt ends with."""
    profile: Line = "builtin"
    """A name in node/profiles, or a file: service times in virtual time; limits where the settings
    above have none; watts."""
    beacon_s: Annotated[Seconds, zero_or(1)] = 60.0
    """The node says how it does this often, as long as the link is up; 0: never."""
    part_s: Annotated[Seconds, zero_or(0.1)] = 1.0
    """A long answer goes down in parts this often while it is written; 0: only when it is done."""
    energy: EnergyConfig | None = None
    """None: as much as is wanted."""
    thermal: ThermalConfig = ThermalConfig()
    telemetry: TelemetryConfig | None = None
    """None: there is none on board."""
    tools: ToolsConfig | None = None
    """None: a model can call nothing."""
    camera: CameraConfig | None = None
    """None: there are no images on board."""
    radiation: RadiationConfig | None = None
    """None: nothing is done for or against upsets; the model is read from its file's own pages."""

    @model_validator(mode="after")
    def _sees(self) -> NodeConfig:
        if self.camera is not None and self.engine == LLAMA:
            raise ValueError("camera: an engine that sees, which is a server: engine = http://…")
        return self
