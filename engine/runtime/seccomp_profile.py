"""The default seccomp profile, Docker's own (see ``seccomp-default.txt`` for its origin and licence)."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from engine.kernel import seccomp

_profile: dict | None = None


def default_seccomp(bounding: Collection[str]) -> dict:
    """The default as a specification's ``linux.seccomp``, for a container with this bounding set of capabilities."""
    global _profile
    if _profile is None:
        with open(os.path.join(os.path.dirname(__file__), "seccomp-default.json")) as file:
            _profile = json.load(file)
    return seccomp.resolve(_profile, bounding)
