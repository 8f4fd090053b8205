"""The engine in virtual time: how long each job takes, by a measured profile.

Profiles are TOML files in `node/profiles/`, each saying where it was measured.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.energy import PowerSection
from node.limits import LimitsSection
from node.machine import InferenceResult
from roundtrip.errors import BadConfig
from roundtrip.message import Question
from roundtrip.units import NS_PER_S, ms_to_ns

PROFILES = Path(__file__).parent / "profiles"


class Profile(BaseModel):
    """Service times of one model on one machine, the limits that stand for this machine where
    another plays its part, and what it draws."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    quantization: str
    measured_on: str
    """Machine, build and date; or "a choice" and why."""
    threads: int = Field(gt=0)
    prefill_tok_s: float = Field(gt=0)
    decode_tok_s: float = Field(gt=0)
    start_ms: float = Field(default=0.5, ge=0)
    """From the job's start to the first prefill."""
    store_ms: float = Field(default=1.0, ge=0)
    """To put a question or an answer on disk."""
    bytes_per_token: float = Field(default=4.0, gt=0)
    """Text bytes a token; for the prompt's length and the answer's size."""
    template_tokens: int = Field(default=20, ge=0)
    """Chat template around a question."""
    answer_tokens_mean: float | None = Field(default=None, gt=0)
    """Mean length of an answer (exponential, cut at max_tokens); None: always max_tokens."""
    jitter: float = Field(default=0.02, ge=0, lt=1)
    """Relative standard deviation of prefill and decode time."""
    rss_peak_mb: float = Field(default=0, ge=0)
    limits: LimitsSection = LimitsSection()
    power: PowerSection | None = None
    """None: not known, and the energy model cannot be used with this profile."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What the engine would have done. Durations in ns."""

    start_ns: int
    prefill_ns: int
    decode_ns: int
    result: InferenceResult


class ServiceTime:
    """Draws the effects of the engine.

    Args:
        profile: the measured one.
        rng: the stream "node/service".
    """

    def __init__(self, profile: Profile, rng: random.Random) -> None:
        self.profile = profile
        self._rng = rng

    @property
    def store_ns(self) -> int:
        """Time to put something on disk."""
        return ms_to_ns(self.profile.store_ms)

    def infer(self, question: Question) -> Inference:
        """The engine's answer to a question: three draws, whatever they are used for."""
        profile = self.profile
        length_draw = self._rng.expovariate(1.0)
        prefill_factor = max(0.1, self._rng.gauss(1.0, profile.jitter))
        decode_factor = max(0.1, self._rng.gauss(1.0, profile.jitter))
        text_bytes = len(question.text.encode()) + len(question.system.encode())
        prompt_tokens = profile.template_tokens + round(text_bytes / profile.bytes_per_token)
        output_tokens = question.max_tokens
        if profile.answer_tokens_mean is not None:
            drawn = 1 + int(length_draw * profile.answer_tokens_mean)
            output_tokens = min(drawn, question.max_tokens)
        cut = output_tokens == question.max_tokens
        return Inference(
            ms_to_ns(profile.start_ms),
            round(prompt_tokens / profile.prefill_tok_s * prefill_factor * NS_PER_S),
            round(output_tokens / profile.decode_tok_s * decode_factor * NS_PER_S),
            InferenceResult(
                text="." * round(output_tokens * profile.bytes_per_token),
                finish_reason="length" if cut else "stop",
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                rss_peak_bytes=round(profile.rss_peak_mb * 1e6),
            ),
        )


def load_profile(name: str) -> Profile:
    """A profile by its name in node/profiles, or by its file.

    Raises:
        BadConfig: there is none, or it does not hold what a profile must.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Profile.model_validate(table)
    except OSError:
        known = sorted(p.stem for p in PROFILES.glob("*.toml"))
        raise BadConfig("node.profile", name, f"one of {known} or a .toml file", "none") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), "", "TOML", str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadConfig(str(path), key, first["msg"], repr(first["input"])[:80]) from None
