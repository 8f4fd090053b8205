"""For all tests: what takes long on a busy machine is no fault."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("by work, not by the clock", deadline=None)
settings.load_profile("by work, not by the clock")
