"""References: names of images, as the distribution project's grammar defines them.

    reference  := name [ ":" tag ] [ "@" digest ]
    name       := [ domain "/" ] component *( "/" component )
    domain     := ( host names by dots | IPv4 | "[" IPv6 "]" ) [ ":" port ]
    component  := [a-z0-9]+ separated by ".", "_", "__" or dashes
    tag        := [A-Za-z0-9_] up to 127 more of [A-Za-z0-9_.-]
    digest     := algorithm ":" at least 32 hexadecimal digits

What people type is familiar (``base``); what is stored is normalized (``docker.io/library/base:latest``). The first
component is a domain only where it has a dot or a port, is ``localhost``, or holds a capital letter.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.domain.errors import InvalidArgument

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255
"""Characters that a name may have, domain included."""

_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_KNOWN_ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
_LONGEST_TEXT = 4096


class Reference(NamedTuple):
    """A parsed reference. ``tag`` and ``digest`` are "" where the text had none."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a familiar or a normalized name. Raises InvalidArgument, which says what is wrong with it."""
        if not text:
            raise _invalid("the name is empty")
        if len(text) > _LONGEST_TEXT:
            raise _invalid(f"a name of {len(text)} characters is too long")
        if _IMAGE_ID.fullmatch(text):
            raise InvalidArgument(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        rest, at, digest = text.partition("@")
        if at:
            _check_digest(digest, text)
        domain, remainder = _split_domain(rest)
        path, colon, tag = remainder.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise _invalid(f"{tag!r} in {text!r} is no tag (letters, digits, '_', '.', '-'; at most 128)")
        _check_name(domain, path, text)
        return cls(domain, path, tag, digest)

    @property
    def name(self) -> str:
        """The repository with its domain: ``docker.io/library/base``."""
        return f"{self.domain}/{self.path}"

    @property
    def normalized(self) -> str:
        """The whole reference, with the default tag where neither tag nor digest was given."""
        return self.name + self._suffix(DEFAULT_TAG)

    @property
    def familiar_name(self) -> str:
        """The repository as people type it: ``base``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """The whole reference as people type it, the tag always said: ``base:latest``."""
        return self.familiar_name + self._suffix(DEFAULT_TAG)

    def _suffix(self, default_tag: str) -> str:
        tag = self.tag or ("" if self.digest else default_tag)
        return (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.normalized


def _invalid(what: str) -> InvalidArgument:
    return InvalidArgument(f"invalid reference format: {what}")


def _split_domain(text: str) -> tuple[str, str]:
    """Domain and remainder (path with tag), with Docker's defaults filled in."""
    first, slash, rest = text.partition("/")
    is_domain = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first.lower() != first
    )  # fmt: skip
    domain, remainder = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder


def _check_name(domain: str, path: str, text: str) -> None:
    if not _PATH.fullmatch(path):
        if path.lower() != path and _PATH.fullmatch(path.lower()):
            raise _invalid(f"repository name ({path}) must be lowercase")
        raise _invalid(f"{text!r}: names are lower-case letters and digits, parted by '.', '_', '__', '-' or '/'")
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(f"{domain!r} in {text!r} is no host name")
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise _invalid(f"repository name must not be more than {NAME_LIMIT} characters")


def _check_digest(digest: str, text: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise _invalid(f"{digest!r} in {text!r} is no digest (sha256:<64 hexadecimal digits>)")
    algorithm, _, encoded = digest.partition(":")
    if algorithm not in _KNOWN_ALGORITHMS:
        raise _invalid(f"unsupported digest algorithm {algorithm!r}")
    if len(encoded) != _KNOWN_ALGORITHMS[algorithm] or encoded.lower() != encoded:
        raise _invalid(f"a {algorithm} digest has {_KNOWN_ALGORITHMS[algorithm]} lower-case hexadecimal digits")
