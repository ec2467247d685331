"""The composition root of the half that touches the kernel: what the spawner's workers can be asked to do, and that it
carries out what ``docket-runtime`` does in the foreground.

Executed by the supervisor from a sealed copy of the interpreter; single-threaded, and it never imports the log.
"""

from __future__ import annotations

from engine.builder import jobs as build_jobs
from engine.images import checks, commit_jobs, file_archives
from engine.images import jobs as image_jobs
from engine.oci import serving
from engine.runtime import network, shifted, sweep, users, writable_layer
from engine.runtime.container_root import with_root
from engine.runtime.spawner import main

JOBS = {
    **image_jobs.JOBS, **checks.JOBS, **commit_jobs.JOBS, **build_jobs.JOBS, **sweep.JOBS, **network.JOBS,
    **shifted.JOBS, **writable_layer.JOBS,
    **{name: with_root(job) for name, job in file_archives.ROOT_JOBS.items()},
    "root.user": with_root(users.resolve_job),
}  # fmt: skip


def run() -> None:
    """The spawner of workers."""
    main(JOBS, serving.serve)
