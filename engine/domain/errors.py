"""The one family of errors. A class says what the client should do; the API maps each class to one status.

    EngineError                 500  something of the system failed; the message names step, object and cause
    ├── InvalidArgument         400  the request can never succeed as it stands
    ├── Unauthorized            401  credentials are missing or wrong
    ├── Forbidden               403  the caller may not do this
    ├── NotFound                404  the object does not exist
    ├── NotModified             304  nothing to do: the object is already so
    ├── Conflict                409  legal, but not in the state that the object is in now
    │   ├── VersionConflict     409  somebody else changed the stream first: load again and decide again
    │   └── NameTaken           409  a unique name or reference is held by another object
    ├── NotSupported            501  this engine (or this kernel) does not offer it
    └── Unavailable             503  try again later: the engine is stopping or not ready

Messages are lower-case, without a full stop, and quote the object.
"""


class EngineError(Exception):
    """Base of all errors that a client gets to see; the message is one line."""


class InvalidArgument(EngineError):
    """The request can never succeed as it stands."""


class Unauthorized(EngineError):
    """Credentials are missing or wrong."""


class Forbidden(EngineError):
    """The caller may not do this."""


class NotFound(EngineError):
    """The object does not exist."""


class NotModified(EngineError):
    """Nothing to do: the object is already in the requested state."""


class Conflict(EngineError):
    """Legal, but not in the state that the object is in now."""


class VersionConflict(Conflict):
    """The stream has moved on since its state was loaded: load again and decide again."""


class SubnetTaken(Conflict):
    """Somebody else on the host has a route into a network's subnet by now."""


class NameTaken(Conflict):
    """A unique name is held by another object, whose id is ``holder``."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f'name "{name}" is already in use by "{holder}"')
        self.name = name
        self.holder = holder


class NotSupported(EngineError):
    """This engine, or this kernel, does not offer it."""


class Unavailable(EngineError):
    """Try again later."""


def describe(error: BaseException) -> str:
    """One line for the log and the user: step, path and what the system said."""
    if isinstance(error, OSError) and error.strerror:
        at = f"{error.step}: " if hasattr(error, "step") else ""
        where = f"{error.filename}: " if error.filename else ""
        return f"{at}{where}{error.strerror}"
    told = (EngineError, OSError, ValueError)
    return str(error) if isinstance(error, told) else f"{type(error).__name__}: {error}"
