"""Finding an image by what people type: a tag, a repository digest, an id, or a unique beginning of one."""

from __future__ import annotations

from engine.domain.errors import InvalidArgument, NotFound
from engine.domain.image import Image
from engine.eventlog.log import EventLog
from engine.images.references import Reference

_DIGITS = frozenset("0123456789abcdef")


def stored_name(reference: Reference) -> str:
    """How the log names it: a tag with its repository, or ``name@digest``; a digest makes the tag beside it moot."""
    return f"{reference.name}@{reference.digest}" if reference.digest else reference.normalized


def resolve_image(log: EventLog, reference: str, as_of: int | None = None) -> Image:
    """By reference, id, or unique id prefix. Raises NotFound, InvalidArgument where it is ambiguous or no name."""
    text = reference.strip()
    hexadecimal = text.removeprefix("sha256:")
    is_id = bool(hexadecimal) and _DIGITS.issuperset(hexadecimal) and len(hexadecimal) <= 64
    if not (is_id and (text.startswith("sha256:") or len(hexadecimal) == 64)):
        if found := _by_name(log, Reference.parse(text), as_of):
            return found
    found_here = log.by_prefix("image", hexadecimal, as_of=as_of, limit=8) if is_id else []
    candidates = [image for image in found_here if image.status == "present"]
    if not candidates:
        raise no_such_image(reference)
    if len(candidates) > 1:
        raise InvalidArgument(f"ambiguous image reference {reference!r}: give more digits of the id")
    return candidates[0]


def _by_name(log: EventLog, reference: Reference, as_of: int | None) -> Image | None:
    """The holder of the name. ``name@<image id>`` names the image too, as it does for Docker."""
    found = log.by_name("image", stored_name(reference), as_of=as_of)
    if found is None and reference.digest:
        found = log.get("image", reference.digest, as_of=as_of)
        return found if found is not None and found.status == "present" else None
    return found


def no_such_image(reference: str) -> NotFound:
    """With the tag that is meant, as Docker's clients expect it in the message."""
    last = reference.rpartition("/")[2]
    return NotFound(f"No such image: {reference if ':' in last or '@' in reference else f'{reference}:latest'}")


def tags_of(image: Image) -> list[str]:
    """Those of its references that are tags."""
    return [name for name in image.references if "@" not in name]


def digests_of(image: Image) -> list[str]:
    """Those of its references that are repository digests: ``name@digest``."""
    return [name for name in image.references if "@" in name]


def repository_of(name: str) -> str:
    """A stored name without its tag or digest."""
    bare = name.partition("@")[0]
    if bare != name:
        return bare
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
