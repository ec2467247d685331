"""The table of contents of the API: every method and path, and the handler that answers it."""

from __future__ import annotations

from engine.api.router import Route
from engine.api.routes import (
    absent, attach, audit, builds, containers, execs, files, images, networks, registries, statistics, system, volumes,
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *containers.ROUTES,
    *attach.ROUTES,
    *files.ROUTES,
    *statistics.ROUTES,
    *execs.ROUTES,
    *registries.ROUTES,
    *images.ROUTES,
    *builds.ROUTES,
    *volumes.ROUTES,
    *networks.ROUTES,
    *audit.ROUTES,
    *absent.ROUTES,
)
