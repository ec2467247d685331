"""What somebody may have meant who typed a word that there isn't. Imported where a word was wrong."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

_LIMIT = 3
_WINDOWS = "it is for containers of Windows"
_SWARM = "this engine is no swarm manager"

UNSUPPORTED_FLAGS = {
    "gpus": "name the devices by --device",
    "cpu-count": _WINDOWS, "cpu-percent": _WINDOWS, "io-maxbandwidth": _WINDOWS, "io-maxiops": _WINDOWS,
    "isolation": _WINDOWS,
    "kernel-memory": "the kernel has given it up, --memory counts its memory, too",
    "link-local-ip": "give addresses of the network by --ip and --ip6",
    "use-api-socket": "mount the socket by -v where a container is to rule the engine",
    "checkpoint": "there are no checkpoints", "checkpoint-dir": "there are no checkpoints",
    "security-opt": "RUN --security=insecure with --allow security.insecure is what a step can have",
    "squash": "one layer comes of a last stage that copies",
    **dict.fromkeys(("attest", "provenance", "sbom"), "no attestations are made: the audit trail has an image's steps"),
    "builder": "the engine builds by itself", "bake": "the engine builds by itself",
    "watch": "run `docket compose watch` beside it",
    "menu": "the keys of an attached `up` are Ctrl-C alone",
    "lock-image-digests": "name images by their digests: name@sha256:...",
    "resolve-image-digests": "name images by their digests: name@sha256:...",
    "tree": "an image here is for one platform, which `docket image inspect` tells",
    "call": "`docket build` does what the Dockerfile says", "check": "`docket build` does what the Dockerfile says",
    "annotation": "an image has labels: --label", "no-cache-filter": "--no-cache makes every step again",
    "metadata-file": "--iidfile has the image's id, `docket image inspect` the rest",
    "cluster": _SWARM, "availability": _SWARM,
}  # fmt: skip
"""Flags of Docker's that this engine has not -> why, or what to do."""

UNSUPPORTED_COMMANDS = {
    **dict.fromkeys(("config", "node", "secret", "service", "stack", "swarm"), _SWARM),
    "volume update": _SWARM,
    "buildx": "`docket build` builds, with stages, caches, mounts and outputs",
    "checkpoint": "there are no checkpoints",
    "manifest": "`docket pull --platform` and `docket image inspect` look into manifests",
    "plugin": "there are no plugins",
    "trust": "digests pin images: name@sha256:...",
}
"""The same for commands."""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words within two edits of it (a third of its length, if that is less), or that begin with it; the
    nearest first."""
    allowed = min(2, max(1, len(word) // 3))
    ranked = []
    for other in sorted(set(known)):
        distance = edits(word, other)
        if distance <= allowed:
            ranked.append((distance, other))
        elif len(word) > 1 and other.startswith(word):
            ranked.append((allowed + 1, other))
    return [other for _, other in sorted(ranked)[:_LIMIT]]


def edits(one: str, other: str) -> int:
    """How many letters must be put in, left out, exchanged, or swapped with their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, there in enumerate(other, 1):
            best = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != there))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == there:
                best = min(best, before[column - 2] + 1)
            current.append(best)
        before, last = last, current
    return last[-1]


def hint(word: str, known: Iterable[str], prefix: str = "") -> str:
    """"" or a line with the words that may have been meant, and a blank line before it."""
    found = nearest(word, known)
    return f"\n\nDid you mean {' or '.join(f'{prefix}{one}' for one in found)}?" if found else ""
