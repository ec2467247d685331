"""SHA-256 by the interpreter's own module: hashlib loads OpenSSL, which takes a short-lived command longer than what
it hashes."""

from __future__ import annotations


def _find() -> object:
    for name in ("_sha2", "_sha256"):  # Python 3.12 and newer; 3.11
        try:
            return __import__(name).sha256
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256


sha256 = _find()


def sha256_hex(data: bytes) -> str:
    """64 hexadecimal digits."""
    return sha256(data).hexdigest()  # type: ignore[operator,no-any-return]
