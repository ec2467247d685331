"""The log for auditors: an object's trail, verification, and the head to publish."""

from __future__ import annotations

import re
from typing import Any

from engine.domain.errors import InvalidArgument, NotFound
from engine.eventlog.log import Head, Recorded, Report
from engine.images.references import Reference
from engine.kernel.digest import sha256_hex
from engine.runtime import command_journal
from engine.services import ports, runtime_journals
from engine.services.as_of import resolve_as_of
from engine.services.core import Core
from engine.services.image_names import stored_name

_PROJECT_LABEL = "com.docker.compose.project"
_NOUNS = (
    "container", "image", "volume", "network", "layer", "exec", "endpoint", "build", "cache", "document", "remap",
    "runtime", "prune",
)  # fmt: skip


class Audit:
    """Reads only."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def trail(self, noun: str | None, text: str) -> list[Recorded]:
        """Every event of one object, living or long removed, in order; an image's with those of its layers and
        of the build that made it, so that it says where everything came from and when; and what has been redacted of
        it. Raises NotFound or InvalidArgument."""
        return self._trail(*self.find(noun, text))

    def find(self, noun: str | None, text: str) -> tuple[str, str]:
        """Noun and id of the last object that is, or ever was, named so. Raises NotFound or InvalidArgument."""
        if noun is not None and noun not in _NOUNS:
            raise InvalidArgument(f"there is no kind of object named {noun!r}: give one of {', '.join(_NOUNS)}")
        for candidate in (noun,) if noun else _NOUNS:
            names = [text]
            if candidate == "image":
                names += self._image_names(text)
            for name in names:
                if found := self._core.log.find_streams(candidate, name):
                    return candidate, found[0]
        raise NotFound(f"nothing on record is named {text!r}")

    def project(self, name: str) -> list[Recorded]:
        """Every event of a compose project, in order: what commands on it brought about, whichever object that was,
        and all that ever happened to containers, networks and volumes with its label. Raises NotFound."""
        found = {recorded.seq: recorded for recorded in self._core.log.correlated(f"compose:{name}/")}
        for stream in self._core.log.labelled(_PROJECT_LABEL, name):
            noun, _, id = stream.partition("/")
            found |= {recorded.seq: recorded for recorded in self._core.log.trail(noun, id)}
        if not found:
            raise NotFound(f"nothing on record belongs to a project {name!r}")
        return [found[seq] for seq in sorted(found)]

    def _trail(self, noun: str, id: str) -> list[Recorded]:
        trail = self._core.log.trail(noun, id)
        documents = {f"document/{digest}" for recorded in trail for digest in recorded.documents}
        if noun != "image":
            redacted = self._core.log.events(streams=documents) if documents and noun != "document" else ()
            return sorted([*trail, *redacted], key=lambda recorded: recorded.seq)
        layers = {chain_id for recorded in trail for chain_id in recorded.data.get("chain_ids", ())}
        builds = {str(recorded.data.get("source", "")) for recorded in trail if recorded.type == "image.created"}
        streams = [f"image/{id}", *(f"layer/{chain_id}" for chain_id in layers), *documents]
        streams += ["build/" + source.removeprefix("build ") for source in builds if source.startswith("build ")]
        return list(self._core.log.events(streams=streams))

    @staticmethod
    def _image_names(text: str) -> list[str]:
        try:
            return [stored_name(Reference.parse(text))]
        except InvalidArgument:
            return []

    def moment_us(self, as_of: str) -> int:
        """When the last event up to a moment happened, in microseconds since the epoch: the "now" of that moment."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock) or 0
        for recorded in self._core.log.events(after=moment - 1, until=moment):
            return recorded.time_us
        return self._core.clock.now_us()

    def verify_runtime(self, root: str) -> dict[str, Any]:
        """The journal of a ``docket-runtime --root``: lines, head, how many of them the log has, and what is wrong with
        it ("" for nothing), by itself or against the log."""
        if not root.startswith("/"):
            raise InvalidArgument(f"the runtime's root must be an absolute path: {root}")
        try:
            lines, head = command_journal.verify(root)
            state = self._core.log.get("runtime", sha256_hex(root.encode()))
            known = state if state is not None and state.journal_boot == ports.boot_id() else None
            if known is not None and known.last:
                runtime_journals.check_taken(known)
        except FileNotFoundError:
            return {"root": root, "lines": 0, "head": "", "taken": 0, "problem": "lines that were taken are gone"}
        except ValueError as error:
            return {"root": root, "lines": 0, "head": "", "taken": 0, "problem": str(error)}
        return {"root": root, "lines": lines, "head": head, "taken": known.last if known else 0, "problem": ""}

    def head(self) -> Head:
        """The last sequence number and its hash: publish it, and a later cut of the log is found by it."""
        return self._core.log.head()

    def verify(self, against: str | None = None, *, log_only: bool = False) -> Report:
        """Check the whole log, against a published head ``SEQ:HASH`` where one is given, and (unless ``log_only``) what
        follows from it."""
        if against is None:
            return self._core.log.verify(log_only=log_only)
        match = re.fullmatch(r"(\d+):([0-9a-f]{64})", against.strip())
        if match is None:
            raise InvalidArgument(f"invalid head {against!r}: give SEQ:HASH as `docket audit head` prints it")
        return self._core.log.verify(Head(int(match.group(1)), match.group(2)), log_only=log_only)
