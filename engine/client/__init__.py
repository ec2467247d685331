"""The thin client of the engine: HTTP over a unix socket, and a small Python API for scripts.

    from engine.client import Client

    with Client() as docket:                        # DOCKET_HOST, else unix:///run/docket/docket.sock
        outcome = docket.run("base", ["echo", "hi"])
        print(outcome.status, outcome.stdout)       # 0 b'hi\\n'
        for event in docket.events(since="1h", until="0s"):
            print(event["Type"], event["Action"], event["Actor"]["ID"])

It speaks the Docker Engine API, so it drives any engine that does. Whatever has no method of its own is reached
with ``Client.call(method, path)``, ``Client.stream`` and ``Client.hijack``.

Vocabulary: an *address* says where an engine listens; a *connection* carries one request at a time; an *exchange* is
one request and its response; a *hijacked* connection has left HTTP and carries a container's streams; a *frame* is a
piece of standard output or error on it.

Imported by the command line and by scripts. Imports nothing of the engine but its version, and of the standard
library only what starts quickly: ``docket ps`` spends most of its time in imports.
"""

from engine.client.api import Client, Outcome
from engine.client.errors import APIError, ClientError, EngineUnreachable

__all__ = ["APIError", "Client", "ClientError", "EngineUnreachable", "Outcome"]
