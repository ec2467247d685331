"""What a client asks of a build, and what the steps share while it lasts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping

from engine.domain.errors import Conflict
from engine.eventlog.log import Context
from engine.images.registry.credentials import Credentials

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NamedContext:
    """``image`` is a reference; where it is "", the context is a folder, at ``place`` in the archive that is sent."""

    image: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """``references`` are normalized. ``host`` are fields of HostConfig that RUN's containers get; ``secrets`` are the
    values by id, which are written nowhere but where the steps look for them. ``remote`` is the URL of a context that
    the client doesn't send. ``output``: "" for an image alone, else the archive that the client wants, ``tar`` or
    ``oci``; then there is an image only where it has a name. ``cache_from`` are images whose steps may be used.
    ``contexts`` are what stages and ``--from`` may name beside the Dockerfile's own stages. ``agents`` is the word that
    joins the client's agents of ssh to the build. ``entitlements`` are what its steps may ask for beyond the isolation
    of every container; ``privileged`` ones ask for every power where they say nothing."""

    references: tuple[str, ...] = ()
    dockerfile: str = "Dockerfile"
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    keep_containers: bool = False
    platform: str = ""
    host: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    credentials: Callable[[str], Credentials] = lambda registry: Credentials()
    source: str = ""
    remote: str = ""
    output: str = ""
    cache_from: tuple[str, ...] = ()
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    agents: str = ""
    entitlements: frozenset[str] = frozenset()
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class ImportedStep:
    """A step of an image of ``--cache-from``: the layers from the base up to it, the last of which it made unless
    ``is_empty``."""

    image: str
    chain_ids: list[str]
    is_empty: bool
    created_us: int


@dataclass(slots=True)
class Site:
    """A build under way: its folder below the data root, where its context is, and how it speaks to its client.

    ``superseded`` are chain IDs that perhaps nothing refers to when the build is over, ``standing`` those that stages
    stand on. ``consumed`` are the names of arguments that the Dockerfile asks for, ``imported`` steps by their keys.
    ``stop`` is set when the client has left or a stage has failed: nothing new is begun then."""

    build_id: str
    order: Order
    folder: Path
    context: Context
    send: Callable[[Line], None]
    escape: str = "\\"
    epoch_s: int | None = None
    steps: int = 0
    has_small_context: bool = False
    superseded: list[list[str]] = field(default_factory=list)
    standing: set[str] = field(default_factory=set)
    consumed: set[str] = field(default_factory=set)
    imported: dict[str, ImportedStep] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    departed: threading.Event = field(default_factory=threading.Event)
    _at: threading.local = field(default_factory=threading.local)
    _scratch: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sources(self) -> Path:
        """The context's tree."""
        return self.folder / "context"

    def named_sources(self, name: str) -> Path:
        """The tree of a named context that is a folder."""
        return self.folder / f"context-{list(self.order.contexts).index(name)}"

    def scratch(self) -> Path:
        """A new folder for a step."""
        with self._guard:
            self._scratch += 1
            path = self.folder / f"step-{self._scratch}"
        path.mkdir(mode=0o700)
        return path

    def enter(self, step: int) -> None:
        """The thread that calls carries this step out from here on."""
        self._at.step = step

    def tell(self, line: Line) -> None:
        """Say something to the client, with the ``step`` that it belongs to."""
        step = getattr(self._at, "step", 0)
        self.send({**line, "step": step} if step else line)

    def check(self) -> None:
        """Raises Conflict where the build is to end."""
        if self.stop.is_set():
            raise Conflict("the build was stopped")
