"""JSON from outside: bounded in size, read without surprises."""

from __future__ import annotations

import json
from typing import Any

from engine.domain.errors import InvalidArgument

DOCUMENT_LIMIT_BYTES = 8 << 20
"""Manifests and configurations; registries refuse manifests above 4 MiB."""


def parse_object(body: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises InvalidArgument for everything else, however large or deep."""
    document = parse_document(body, what)
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what} is no JSON object")
    return document


def parse_document(body: bytes, what: str) -> Any:
    """Any JSON. Raises InvalidArgument."""
    if len(body) > DOCUMENT_LIMIT_BYTES:
        raise InvalidArgument(f"{what} of {len(body)} bytes is larger than the limit of {DOCUMENT_LIMIT_BYTES} bytes")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise InvalidArgument(f"{what} is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError is one
        raise InvalidArgument(f"{what} is no valid JSON: {error}") from error
