"""What the cache of builds takes on the disk, when it was last used, and which of it goes in a prune.

A step is used by the builds that made or reused it: that is on record with each build.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Iterator, Sequence

from engine.domain.cache import Cache
from engine.services import trees
from engine.services.core import Core
from engine.services.layers import Layers

STEP, MOUNT = "regular", "exec.cachemount"
WHOLE = "image"
"""The instruction of records that keep the time of a whole image: they make no layer of their own."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A cached step, or the folder of a cache mount (``kind``). ``size_bytes`` is that of the layer that the step made.
    ``is_shared``: an image or a container has the layer as well; ``is_in_use``: a running build stands on it."""

    id: str
    kind: str
    description: str
    size_bytes: int
    created_us: int
    last_used_us: int
    uses: int
    is_shared: bool
    is_in_use: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What a prune forgets: everything, narrowed. ``unused_since_us``: what was not used since; ``keep_bytes``: not
    what was used last, as long as it and what it stands on take no more; ``ids`` and ``kinds``: these alone."""

    unused_since_us: int | None = None
    keep_bytes: int | None = None
    ids: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (STEP, MOUNT)

    @property
    def takes_mounts(self) -> bool:
        """The folders of cache mounts go as a whole or not at all: nobody notes when a step used one."""
        return MOUNT in self.kinds and self.unused_since_us is None and not self.ids


class CacheUsage:
    """One for the engine. ``mounts`` is the folder of cache mounts."""

    def __init__(self, core: Core, layers: Layers, mounts: Path) -> None:
        self._core = core
        self._layers = layers
        self._mounts = mounts

    def list(self, in_use: Collection[str]) -> list[Usage]:
        """Latest first. ``in_use`` are the chain IDs that running builds stand on."""
        used = self._used(None)
        every = [cached for cached in self._core.log.all("cache") if cached.chain_ids and cached.instruction != WHOLE]
        steps = [self._of_step(cached, in_use, used) for cached in every]
        return sorted([*steps, *self.mounts()], key=lambda usage: usage.last_used_us, reverse=True)

    def _of_step(self, cached: Cache, in_use: Collection[str], used: dict[str, tuple[int, int]]) -> Usage:
        top = cached.chain_ids[-1]
        last_us, uses = used.get(cached.id, (cached.created_at_us, 1))
        size_bytes = 0 if cached.is_empty else self._layers.size_bytes([top])
        return Usage(
            cached.id, STEP, cached.instruction, size_bytes, cached.created_at_us, last_us, uses, self._is_shared(top),
            top in in_use,
        )  # fmt: skip

    def _is_shared(self, chain_id: str) -> bool:
        return any(not user.startswith("cache/") for user in self._core.log.users_of_layer(chain_id))

    def mounts(self) -> Sequence[Usage]:
        return list(self._of_mounts()) if self._mounts.is_dir() else []

    def _of_mounts(self) -> Iterator[Usage]:
        for path in self._mounts.iterdir():
            moment_us = path.stat().st_mtime_ns // 1000
            size_bytes = trees.size_bytes(self._core.runtime, path)
            yield Usage(f"sha256:{path.name}", MOUNT, "cache mount", size_bytes, moment_us, moment_us, 1, False, False)

    def _used(self, since_us: int | None) -> dict[str, tuple[int, int]]:
        """By key: when it was last used, and how often."""
        used: dict[str, tuple[int, int]] = {}
        for recorded in self._core.log.events(types={"build.step_done"}, since_us=since_us):
            key = recorded.data.get("key")
            if key:
                used[key] = (recorded.time_us, used.get(key, (0, 0))[1] + 1)
        return used

    def chosen(self, choice: Choice, in_use: Collection[str]) -> list[Cache]:
        """The cached steps that a prune forgets."""
        if STEP not in choice.kinds:
            return []
        spared = set(self._used(choice.unused_since_us)) if choice.unused_since_us is not None else set()
        every: list[Cache] = [
            cached for cached in self._core.log.all("cache")
            if (cached.chain_ids or [""])[-1] not in in_use and cached.id not in spared
            and (choice.unused_since_us is None or cached.created_at_us <= choice.unused_since_us)
            and (not choice.ids or any(cached.id.removeprefix("sha256:").startswith(id) for id in choice.ids))
        ]  # fmt: skip
        return every if choice.keep_bytes is None else self._beyond(every, choice.keep_bytes)

    def _beyond(self, every: Sequence[Cache], keep_bytes: int) -> list[Cache]:
        """Those that don't fit, the latest used first to stay. What images hold anyway takes nothing."""
        used, counted, total, going = self._used(None), set[str](), 0, list[Cache]()
        for cached in sorted(every, key=lambda one: used.get(one.id, (one.created_at_us, 0))[0], reverse=True):
            new = [one for one in cached.chain_ids if one not in counted and not self._is_shared(one)]
            size_bytes = sum(self._layers.size_bytes([one]) for one in new)
            if total + size_bytes > keep_bytes:
                going.append(cached)
                continue
            total += size_bytes
            counted.update(new)
        return going
