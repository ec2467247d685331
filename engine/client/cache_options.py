"""``--cache-from`` and ``--cache-to``, ``cache_from`` and ``cache_to``: steps of other builds, by what they made."""

from __future__ import annotations

from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def images_of(given: Iterable[str], option: str) -> list[str]:
    """Images: ``NAME``, several by commas, or ``type=registry,ref=NAME``. Raises ClientError."""
    names: list[str] = []
    for text in given:
        fields = _fields(text)
        if fields.get("type", "registry") != "registry" or "type" in fields and not fields.get("ref"):
            raise ClientError(f"{option}: {text} is not supported: name an image, or type=registry,ref=NAME")
        names += [fields["ref"]] if "ref" in fields else [part for part in text.split(",") if part]
    return names


def check_targets(given: Iterable[str], option: str) -> None:
    """Every image carries what its steps depended on: ``type=inline`` is what happens anyway. Raises ClientError."""
    for text in given:
        if _fields(text).get("type") != "inline":
            raise ClientError(
                f"{option}: {text} is not supported: use type=inline, and push the image: it carries its cache itself"
            )


def _fields(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(","))
