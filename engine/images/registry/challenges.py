"""WWW-Authenticate: what a registry wants to see (RFC 9110 section 11.6.1, RFC 6750 section 3).

    challenge  = scheme [ 1*SP ( token68 / #( name "=" ( token / quoted-string ) ) ) ]

Several challenges share a header, parted by commas, as are their parameters.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.domain.errors import InvalidArgument

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})(?=[ \t]*(?:,|$)))', re.DOTALL)
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,)|$)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_SEPARATOR = re.compile(r"[ \t,]*")
_HEADER_LIMIT = 16 * 1024


class Challenge(NamedTuple):
    """``scheme`` and the names of parameters are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """In the order of the header. Raises InvalidArgument for what follows no grammar."""
    if len(header) > _HEADER_LIMIT:
        raise InvalidArgument(f"the registry's challenge has {len(header)} characters, which is too many")
    found: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header):
        parameter = _PARAMETER.match(header, at) if found else None
        if parameter:
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if plain is None else plain
            found[-1].parameters.setdefault(name.lower(), value)
            at = _skip(header, parameter.end())
            continue
        scheme = _SCHEME.match(header, at)
        if not scheme:
            raise InvalidArgument(f"the registry's challenge is malformed: {header[:200]!r}")
        found.append(Challenge(scheme[1].lower(), {}))
        at = scheme.end()
        if not _PARAMETER.match(header, at) and (token := _TOKEN68.match(header, at)):
            at = token.end()
        at = _skip(header, at)
    return found


def _skip(header: str, at: int) -> int:
    match = _SEPARATOR.match(header, at)
    return match.end() if match else at
