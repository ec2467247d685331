"""Platforms: which one this machine is, and which others it runs (OCI image specification, image-index.md).

Variants are ranks: an arm/v7 machine runs what is for v6 and v5, an amd64/v3 machine what is for v2 and v1. An image
that says none is for amd64/v1, arm64/v8 or arm/v7.
"""

from __future__ import annotations

import os
import re
from typing import Any, Mapping, Sequence

from engine.domain.errors import NotFound
from engine.images.manifests import Descriptor, Platform

_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
    "mips64": ("mips64le", ""),
    "loongarch64": ("loong64", ""),
}
_SPELLINGS = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "i386": "386"}
_LOWEST = {"amd64": 1, "arm64": 8, "arm": 7}
_VARIANT = re.compile(r"v?([0-9]{1,2})")
_RANKED = frozenset(("amd64", "arm", "arm64"))


def this_machine() -> Platform:
    """The platform of the running kernel."""
    machine = os.uname().machine
    return Platform("linux", *_MACHINES.get(machine, (machine, "")))


def parse(text: str) -> Platform:
    """``os/architecture[/variant]``; an operating system or an architecture alone has this machine's other half.
    Raises InvalidArgument."""
    if "/" in text:
        return Platform.parse(text)
    here = this_machine()
    return Platform.parse(f"{text}/{here.architecture}" if text == here.os else f"{here.os}/{text}")


def of_config(config: Mapping[str, Any]) -> Platform:
    """The platform that an image's configuration says; what it leaves open is this machine's."""
    here = this_machine()
    return Platform(
        config.get("os") or here.os, config.get("architecture") or here.architecture, config.get("variant") or ""
    )


def normalized(platform: Platform) -> Platform:
    """Other spellings of architectures, and variants that go without saying, made one."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture in ("armhf", "armel") and not variant:
        variant = "v7" if architecture == "armhf" else "v6"
    architecture = _SPELLINGS.get(architecture, architecture)
    rank = _rank(architecture, variant)
    if architecture in _RANKED and rank:
        variant = "" if rank == _LOWEST[architecture] and architecture != "arm" else f"v{rank}"
    return Platform(platform.os.lower(), architecture, variant)


def _rank(architecture: str, variant: str) -> int:
    """0 for a variant that has no rank."""
    if not variant:
        return _LOWEST.get(architecture, 0)
    match = _VARIANT.fullmatch(variant)
    return int(match[1]) if match else 0


def runs(wanted: Platform, offered: Platform) -> int:
    """How well an image for ``offered`` fits ``wanted``: 0 not at all, else the higher the better."""
    wanted, offered = normalized(wanted), normalized(offered)
    if wanted[:2] != offered[:2]:
        return 0
    if wanted.variant == offered.variant:
        return 1000
    if wanted.architecture not in _RANKED:
        return 1 if not wanted.variant or not offered.variant else 0
    mine, theirs = _rank(wanted.architecture, wanted.variant), _rank(offered.architecture, offered.variant)
    return theirs if mine and 0 < theirs <= mine else 0


def best(manifests: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The manifest of an index for a platform; of equals the first. Raises NotFound with what there is."""
    ranked = [(runs(wanted, manifest.platform), manifest) for manifest in manifests if manifest.platform]
    fit = max((rank for rank, _ in ranked), default=0)
    if fit:
        return next(manifest for rank, manifest in ranked if rank == fit)
    if len(manifests) == 1 and manifests[0].platform is None:
        return manifests[0]
    offered = sorted({str(manifest.platform) for manifest in manifests if manifest.platform} - {"unknown/unknown"})
    raise NotFound(
        f"no matching manifest for {wanted} in the manifest list entries: "
        f"there are {', '.join(offered[:30]) or 'none with a platform'}"
    )
