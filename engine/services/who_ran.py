"""Who ran what with which powers: the evidence of every start, and every privileged exec, against a question.

The question is put to what the kernel confirmed at the start (seccomp, mounts), and for ``privileged`` to what was
asked for, which the log keeps also of containers that are long removed.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from engine.domain.errors import InvalidArgument, NotFound
from engine.eventlog.log import Recorded
from engine.services.as_of import resolve_as_of
from engine.services.core import Core

_FILTERED = 2  # seccomp(2)'s mode
_TYPES = (
    "container.created", "container.renamed", "container.updated", "container.started", "container.removed",
    "exec.created",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """All that is given must hold. ``host_mount`` is a path of the host: of it, of what lies below it, or above it."""

    privileged: bool = False
    without_seccomp: bool = False
    host_mount: str = ""
    after: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A start or an exec that answers the question; ``facts`` says by what."""

    recorded: Recorded
    container_id: str
    name: str
    image: str
    facts: tuple[str, ...]


@dataclass(slots=True)
class _Container:
    name: str
    image: str
    config_digest: str


class WhoRan:
    """Reads the log between the two moments, and of what stood at the first one the state: an answer takes as long as
    there is to read, and what is kept meanwhile are the containers of one moment."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._own_root = os.path.realpath(core.store.root)

    def ask(self, question: Question) -> Iterator[Run]:
        """In order of time. Raises InvalidArgument where nothing, or no moment, is asked for."""
        if not (question.privileged or question.without_seccomp or question.host_mount):
            raise InvalidArgument("say what to look for: privileged, without-seccomp or host-mount")
        if question.host_mount and not question.host_mount.startswith("/"):
            raise InvalidArgument(f"the path of a host mount must be absolute: {question.host_mount}")
        first = resolve_as_of(question.after, self._core.log, self._core.clock) or 0
        last = resolve_as_of(question.until, self._core.log, self._core.clock)
        return self._answers(question, first, last)

    def _answers(self, question: Question, first: int, last: int | None) -> Iterator[Run]:
        standing = self._core.log.all("container", as_of=first) if first else []
        known = {one.id: _Container(one.name, one.image, one.config_digest) for one in standing}
        for event in self._core.log.events(after=first, until=last, types=_TYPES):
            data = event.data
            match event.type:
                case "container.created":
                    known[event.id] = _Container(data["name"], data["image"], data["config_digest"])
                    continue
                case "container.renamed":
                    known[event.id].name = data["name"]
                    continue
                case "container.updated":
                    known[event.id].config_digest = data["config_digest"]
                    continue
                case "container.removed":
                    del known[event.id]
                    continue
            container = known[data["container_id"]]
            facts = self._facts(question, event, container)
            if facts is not None:
                yield Run(event, data["container_id"], container.name, container.image, tuple(facts))

    def _facts(self, question: Question, event: Recorded, container: _Container) -> list[str] | None:
        """By what it answers; None where it doesn't."""
        if event.type == "exec.created":
            only_privileged = question.privileged and not (question.without_seccomp or question.host_mount)
            return ["privileged exec"] if only_privileged and event.data["privileged"] else None
        facts = []
        evidence = event.data["evidence"]
        try:
            host = self._core.settings_of(container)["HostConfig"]
        except NotFound:
            host = None
        if question.privileged:
            if host is not None and not host.get("Privileged"):
                return None
            facts.append("privileged" if host is not None else "privileged or not: its configuration is redacted")
        host = host or {}
        if question.without_seccomp:
            if evidence.get("seccomp_mode") == _FILTERED:
                return None
            facts.append("no seccomp filter")
        if question.host_mount:
            found = [text for text in self._mounts(evidence, host) if text is not None]
            wanted = [text for text in found if _touches(text.split(" -> ")[0], question.host_mount)]
            if not wanted:
                return None
            facts += wanted
        return facts

    def _mounts(self, evidence: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
        """``/source -> /destination (ro)`` of every bind mount but those of the engine's own files and volumes."""
        for source, destination, access in evidence.get("binds") or _asked_for(host):
            if not _touches(source, self._own_root) or self._own_root.startswith(source.rstrip("/") + "/"):
                yield f"{source} -> {destination} ({access})"


def _asked_for(host: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The bind mounts of a configuration: for starts from before the evidence named them."""
    for text in host.get("Binds") or []:
        source, destination, *options = text.split(":")
        if source.startswith("/"):
            yield source, destination, "ro" if options and "ro" in options[0].split(",") else "rw"
    for entry in host.get("Mounts") or []:
        if entry.get("Type") == "bind":
            yield entry["Source"], entry["Target"], "ro" if entry.get("ReadOnly") else "rw"


def _touches(source: str, path: str) -> bool:
    """Whether one of the two lies in the other."""
    one, other = (posixpath.normpath(each).rstrip("/") + "/" for each in (source, path))
    return one.startswith(other) or other.startswith(one)
