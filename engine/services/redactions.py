"""Taking documents out of the log for good: a configuration with a password in it, of an object that is no more.

The events keep the document's digest, so the chain still verifies; what stands in the events themselves (names,
commands, labels) can't be taken out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.domain.errors import Conflict, InvalidArgument, NotFound
from engine.eventlog.log import Context, Recorded
from engine.services.audit import Audit
from engine.services.core import Core

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EXEC_OPEN = ("created", "starting", "running")


class Redacted(NamedTuple):
    """A document that was taken out, and the event that says so."""

    digest: str
    recorded: Recorded


class Redactions:
    """One document by its digest, or all that the events of an object name."""

    def __init__(self, core: Core, audit: Audit) -> None:
        self._core = core
        self._audit = audit

    def redact(self, noun: str | None, text: str, reason: str, context: Context) -> list[Redacted]:
        """``text`` is a digest, an id or a name that the object ever had. All are taken out or none.

        Raises NotFound, InvalidArgument, and Conflict where somebody still needs one, or all are gone already."""
        if not reason.strip():
            raise InvalidArgument("a redaction needs a reason: it is all that is left to read")
        digests = self._named(noun, text)
        present = [digest for digest in digests if self._is_there(digest)]
        if not present:
            gone = "has been redacted already" if digests else "has no documents"
            raise Conflict(f'"{text}" {gone}')
        for digest in present:
            self._refuse_needed(digest)
        return [Redacted(digest, self._take_out(digest, reason, context)) for digest in present]

    def _named(self, noun: str | None, text: str) -> list[str]:
        if noun in (None, "document") and _DIGEST.fullmatch(text):
            try:
                self._is_there(text, strict=True)
                return [text]
            except NotFound:
                if noun == "document":
                    raise
        kind, identifier = self._audit.find(noun, text)
        named = (digest for recorded in self._core.log.trail(kind, identifier) for digest in recorded.documents)
        return list(dict.fromkeys(named))

    def _is_there(self, digest: str, *, strict: bool = False) -> bool:
        """Whether the body is. Strictly: raises NotFound where there never was such a document."""
        try:
            self._core.log.document(digest)
            return True
        except NotFound:
            if strict and self._core.log.get("document", digest) is None:
                raise
            return False

    def _take_out(self, digest: str, reason: str, context: Context) -> Recorded:
        exclusive = self._core.recorder.exclusive  # a container or an image that would name it again waits
        with exclusive(f"document/{digest}"), exclusive(f"image/{digest}"):
            self._refuse_needed(digest)
            return self._core.log.redact(digest, reason, context)

    def _refuse_needed(self, digest: str) -> None:
        log = self._core.log
        image = log.get("image", digest)
        if image is not None:
            raise Conflict(f"{digest} is the configuration of an image that is here: remove the image first")
        for container in log.all("container"):
            if digest in (container.config_digest, container.image_id):
                what = "the configuration" if digest == container.config_digest else "the image's configuration"
                raise Conflict(f'{digest} is {what} of container "{container.name}": remove the container first')
        for state in log.all("exec"):
            if state.config_digest == digest and state.status in _EXEC_OPEN:
                raise Conflict(f"{digest} is the configuration of exec {state.id[:12]}, which has not ended")
