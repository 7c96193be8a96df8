"""What all tests share: Hypothesis without a clock, since a loaded machine is no bug."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
