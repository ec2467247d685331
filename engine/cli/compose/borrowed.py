"""Commands of the plain client on a compose command's connection, so that the engine's log knows what they were for."""

from __future__ import annotations

from engine.cli.compose.scene import Scene
from engine.cli.session import Session
from engine.client.api import Client
from engine.compose.running.names import cause_of


class Borrowed(Session):
    """The session of ``scene``'s engine; ``service`` is named as what the requests are for."""

    def __init__(self, scene: Scene, service: str = "") -> None:
        given, project = scene.invocation.session, scene.any_project
        super().__init__(given.host, given.root, given.run_dir)
        self._client = scene.client
        self._client.say_cause(cause_of(project.name, scene.verb, service))

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client
