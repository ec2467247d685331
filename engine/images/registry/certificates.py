"""TLS towards registries: the system's CAs, and Docker's folders of certificates.

    certs.d/HOST[:PORT]/*.crt              CAs that are trusted for this registry, besides the system's
    certs.d/HOST[:PORT]/NAME.cert, .key    certificates of our own that the registry may ask for
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Callable, Sequence

from engine.domain.errors import InvalidArgument


def folder_of(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """The first folder of certificates that exists for a registry, which may go by several names."""
    return next((at / name for at in folders for name in names if "/" not in name and (at / name).is_dir()), None)


def has_authorities(folder: Path | None) -> bool:
    """Whether the operator says who vouches for a registry."""
    return folder is not None and any(folder.glob("*.crt"))


def make_context(own: Path | None, also: Path | None, verify: bool, bundle: str) -> ssl.SSLContext:
    """The context for a host with a folder of its ``own``; the CAs in ``also`` (those of the registry that led here)
    are trusted as well, and ``bundle`` where the system has none. Raises InvalidArgument for unreadable ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        _load_authorities(context, [place for place in (own, also) if place], bundle)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in sorted(own.glob("*.cert")) if own else ():
        key = path.with_suffix(".key")
        if not key.is_file():
            raise InvalidArgument(f"{key} is missing: it belongs to the client certificate {path} (CAs end in .crt)")
        _loaded(path, lambda: context.load_cert_chain(path, key))
    return context


def _load_authorities(context: ssl.SSLContext, folders: Sequence[Path], bundle: str) -> None:
    context.load_default_certs()  # SSL_CERT_FILE and SSL_CERT_DIR count
    system = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (system and any(Path(system).glob("*.0"))):
        context.load_verify_locations(bundle)
    for path in [path for folder in folders for path in sorted(folder.glob("*.crt"))]:
        _loaded(path, lambda: context.load_verify_locations(path))


def _loaded(path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except (ssl.SSLError, OSError) as error:
        raise InvalidArgument(f"certificate {path} can't be read: {error}") from error
