"""The seccomp filter of a container: Docker's default profile, compiled once for each set of capabilities."""

from __future__ import annotations

import base64
import functools
from typing import Any, Sequence

from engine.kernel import seccomp
from engine.runtime.seccomp_profile import default_seccomp


def default_filter(capabilities: Sequence[str]) -> dict[str, Any]:
    """What the init installs: ``program`` (BPF in base64), ``flags``, and the ``digest`` that the evidence names."""
    return _compiled(tuple(sorted(capabilities)))


@functools.lru_cache(maxsize=32)
def _compiled(capabilities: tuple[str, ...]) -> dict[str, Any]:
    resolved = default_seccomp(capabilities)
    return {
        "program": base64.b64encode(seccomp.compile_filter(resolved)).decode(),
        "flags": resolved.get("flags") or [],
        "digest": seccomp.digest(resolved),
    }
