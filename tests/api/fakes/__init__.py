"""Services in memory: the real machines of the domain, a list as the log, and no kernel."""

from __future__ import annotations

from pathlib import Path

from engine.eventlog.log import Context

from .containers import Containers, Execs, Lifecycle
from .images import Archives, Builds, Fsck, ImageRemoval, Images, Pulls, Pushes, Registries
from .log import Log
from .surroundings import Audit, Events, Networks, System, Volumes


class Services:
    """Everything the API sees, with one image on record."""

    def __init__(self, folder: Path) -> None:
        self.log = Log()
        self.containers = Containers(self.log, folder)
        self.lifecycle = Lifecycle(self.log, self.containers)
        self.execs = Execs(self.log, self.containers)
        self.images = Images(self.log)
        self.image_removal = ImageRemoval(self.log, self.images)
        self.archives = Archives()
        self.pulls = Pulls()
        self.pushes = Pushes()
        self.registries = Registries()
        self.fsck = Fsck()
        self.builds = Builds()
        self.volumes = Volumes(self.log)
        self.networks = Networks()
        self.audit = Audit(self.log)
        self.events = Events(self.log)
        self.system = System(self.log)
        self.images.add(Context({"door": "test"}, "setup", "setup"))
