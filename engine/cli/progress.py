"""The progress lines that the engine streams while it loads, imports or gets an image."""

from __future__ import annotations

from engine.cli.output import out, printable
from engine.client import jsontext
from engine.client.connection import Response
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def print_line(line: str) -> None:
    out(printable(line) + "\n")


def show_progress(response: Response, write: Callable[[str], None] = print_line, *, quiet: bool = False) -> None:
    """Print what is said once, a line each (bars are not drawn); with ``quiet`` only outcomes. Raises APIError on a
    reported error."""
    if "json" not in response.headers.get("content-type", "json"):
        write(response.read().decode("utf-8", "replace").rstrip("\n"))
        return
    for line in response.lines():
        message: dict[str, Any] = jsontext.decode(line)
        if "error" in message or "errorDetail" in message:
            raise APIError(500, message.get("error") or message["errorDetail"].get("message", "unknown error"))
        if message.get("stream"):
            write(message["stream"].rstrip("\n"))
        elif message.get("status") and not message.get("progressDetail") and not quiet:
            prefix = f"{message['id']}: " if message.get("id") else ""
            write(f"{prefix}{message['status']}")
