"""SHA-256 of texts and bytes, without loading OpenSSL for it: hashlib does, which takes a short command 5 ms."""

from __future__ import annotations

import sys

try:
    sha256 = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
except ImportError:  # an interpreter that was built without digests of its own
    from hashlib import sha256


def digest(content: str | bytes) -> str:
    """In hex. Text counts as its UTF-8, and bytes that were none (PEP 383) as themselves."""
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return sha256(data).hexdigest()
