"""ADD of something that lies on the network."""

from __future__ import annotations

from pathlib import Path

from engine.builder.orders import Site
from engine.domain.errors import NotSupported


def fetch(url: str, folder: Path, checksum: str, site: Site) -> str:
    """Bring a file into the folder. Answers with its name. Raises NotSupported."""
    raise NotSupported(f"ADD of the URL {url!r} is not supported yet: download it beforehand, or in a RUN")
