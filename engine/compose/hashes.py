"""The hash of a service's configuration, which its containers carry as ``com.docker.compose.config-hash``.

It is the one that Docker Compose 2.40 computes: of two tools that look at a project, neither has a reason to make the
other's containers again.
"""

from __future__ import annotations

from engine.client import jsontext
from engine.compose.digests import digest
from engine.compose.model.elements import SERVICE
from engine.compose.model.shapes import HTML_ESCAPES, JSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEFT_OUT = ("build", "depends_on", "profiles", "pull_policy", "scale")
"""What may change without a container becoming another one."""


def config_hash(service: dict[str, Any]) -> str:
    """SHA-256 in hex over the canonical service, less what says how many there are, in which order they start and where
    their image comes from."""
    return digest(_text(hashed_part(service)))


def hashed_part(service: dict[str, Any]) -> dict[str, Any]:
    """What of a service its hash depends on."""
    found = {key: value for key, value in service.items() if key not in _LEFT_OUT and not key.startswith("x-")}
    if (deploy := found.get("deploy")) is not None:
        found["deploy"] = {key: value for key, value in deploy.items() if key != "replicas"}
    return found


def _text(service: dict[str, Any]) -> str:
    """JSON in the order of the specification's table, as Go's encoder writes it."""
    shown = SERVICE.shown(service, JSON)
    return jsontext.encode(shown, ascii_only=False).translate(HTML_ESCAPES)
