"""What a client says about who it is at a registry, as Docker's X-Registry-Auth header carries it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from engine.domain.errors import InvalidArgument

_HEADER_LIMIT = 64 * 1024
_KEYS = {
    "username": "username",
    "password": "password",
    "identitytoken": "identity_token",
    "registrytoken": "registry_token",
}


class Credentials(NamedTuple):
    """``identity_token`` stands for a password at a token server, ``registry_token`` is a ready Bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, ...)"

    __str__ = __repr__

    @property
    def anonymous(self) -> bool:
        return not any(self)

    @classmethod
    def from_header(cls, header: str | None) -> Credentials:
        """Of an X-Registry-Auth header: URL-safe base64 of a JSON object. Raises InvalidArgument."""
        if not header:
            return cls()
        return cls.from_json(_decoded(header))

    @classmethod
    def from_json(cls, values: Any) -> Credentials:
        """Of an AuthConfig object of the API; what it says besides is not looked at. Raises InvalidArgument."""
        if not isinstance(values, dict):
            raise InvalidArgument("invalid registry credentials: a JSON object is expected")
        known = {}
        for key, value in values.items():
            name = _KEYS.get(key.lower())
            if name and not isinstance(value or "", str):
                raise InvalidArgument(f"invalid registry credentials: {key} must be a string")
            if name:
                known[name] = value or ""
        if not known.get("username") and not known.get("password"):
            known.update(_from_basic(values.get("auth")))
        return cls(**known)


def _decoded(header: str) -> Any:
    if len(header) > _HEADER_LIMIT:
        raise InvalidArgument(f"invalid registry credentials: {len(header)} characters are too many")
    try:
        return json.loads(_base64(header.replace("+", "-").replace("/", "_")) or b"{}")
    except (ValueError, RecursionError) as error:  # the text itself is a secret
        raise InvalidArgument("invalid registry credentials: no JSON in base64") from error


def _base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _from_basic(text: Any) -> dict[str, str]:
    """User name and password of a field ``auth``, which is how the configuration file keeps them."""
    if not text or not isinstance(text, str):
        return {}
    try:
        username, _, password = _base64(text).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidArgument("invalid registry credentials: auth is no base64") from error
    return {"username": username, "password": password.rstrip("\0")}
