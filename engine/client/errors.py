"""What can go wrong between a client and an engine."""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of the client; the message is one line."""


class EngineUnreachable(ClientError):
    """Nobody answers at the address. ``cause`` is the operating system's word on it."""

    def __init__(self, address: str, cause: OSError) -> None:
        self.address = address
        self.cause = cause
        super().__init__(self._message())

    def _message(self) -> str:
        if isinstance(self.cause, PermissionError):
            return f"permission denied while trying to connect to the engine at {self.address}: are you root?"
        return f"Cannot connect to the Docket daemon at {self.address}. Is the docket daemon running?"


class APIError(ClientError):
    """The engine refused: its HTTP status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ProtocolError(ClientError):
    """What answers does not speak the Docker Engine API, or hung up in the middle of an answer."""
