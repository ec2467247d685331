"""What worker processes do with writable layers: see ``jobs`` for the rules."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from engine.images.content import ContentStore
from engine.images.layer_tar import write_layer_tar
from engine.images.overlay_diff import STUBS, changes
from engine.images.owners import Owners


def commit_layer(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Store what ``upper`` changes of the layers ``lower`` (topmost first) as a blob in the store at ``content``.

    ``stubs`` are paths that are no change (in addition to what every container has), ``latest_s`` bounds the times,
    ``owners`` are the mappings of its user namespace.
    Answers ``{"digest", "size_bytes", "entries"}``; the blob is a plain tar, so its digest is the diff ID. With no
    entries there is nothing to commit, and no blob.
    """
    stubs = STUBS | frozenset(os.fsencode(path.strip("/")) for path in arguments.get("stubs") or ())
    with ContentStore(Path(arguments["content"])).writer() as writer:
        entries = write_layer_tar(
            writer.write, arguments["upper"], arguments["lower"], stubs=stubs, latest_s=arguments.get("latest_s"),
            owners=Owners.from_json(arguments.get("owners")),
        )
        if not entries:
            return {"digest": "", "size_bytes": 0, "entries": 0}
        blob = writer.commit()
    return {"digest": blob.digest, "size_bytes": blob.size_bytes, "entries": entries}


def list_changes(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What ``upper`` changes of ``lower``, one JSON line ``[path, kind]`` after the other, to the first descriptor."""
    stubs = STUBS | frozenset(os.fsencode(path.strip("/")) for path in arguments.get("stubs") or ())
    with open(fds[0], "w", encoding="utf-8", closefd=False) as output:
        for change in changes(arguments["upper"], arguments["lower"], stubs):
            path = "/" + change.path.decode("utf-8", "replace")
            output.write(json.dumps([path, change.kind]) + "\n")
    return {}


JOBS = {"layer.commit": commit_layer, "layer.changes": list_changes}
