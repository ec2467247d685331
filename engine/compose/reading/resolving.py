"""Values of a service that come from elsewhere: its env_file, its label_file, and variables named without a value."""

from __future__ import annotations

import os

from engine.compose.model.positions import Path, shown_file
from engine.compose.reading.context import Context
from engine.compose.reading.dotenv import read_variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def resolve_service(name: str, service: dict[str, Any], context: Context) -> None:
    """Fill in environment, labels and build arguments, in place. Raises ComposeError for files that must be there."""
    given = service.get("environment") or {}
    environment = {key: context.environment.get(key) if value is None else value for key, value in given.items()}
    if context.options.resolve_env_files:
        found: dict[str, str] = {}
        for index, entry in enumerate(service.pop("env_file", ())):
            found.update(_env_file(entry, ("services", name, "env_file", index), environment, found, context))
        environment = {**found, **environment}
    if environment:
        service["environment"] = environment
    for hook in (*service.get("post_start", ()), *service.get("pre_stop", ())):
        if hook.get("environment"):
            hook["environment"] = {
                key: context.environment.get(key) if value is None else value
                for key, value in hook["environment"].items()
            }
    _resolve_build(service.get("build") or {}, context)
    _resolve_labels(name, service, context)


def _env_file(
    entry: dict[str, Any], path: Path, own: dict[str, str | None], before: dict[str, str], context: Context
) -> dict[str, str]:
    """The variables of a file. A reference in it means the project's variable, else the service's own, else that of the
    file, else that of the files before it."""
    file = entry["path"]
    if not os.path.exists(file):
        if not entry.get("required", True):
            return {}
        raise context.positions.error(path, f"env file {shown_file(file)} not found")
    known = {key: value for key, value in own.items() if value is not None}
    return read_variables(
        file, {**known, **context.environment}, context.warn_unset, raw=entry.get("format") == "raw", before=before
    )


def _resolve_build(build: dict[str, Any], context: Context) -> None:
    """Arguments without a value take the environment's, or are none."""
    if build.get("args"):
        resolved = {
            key: context.environment.get(key) if value is None else value for key, value in build["args"].items()
        }
        build["args"] = {key: value for key, value in resolved.items() if value is not None}


def _resolve_labels(name: str, service: dict[str, Any], context: Context) -> None:
    """The labels of files behind the service's own. The files stay in the model, since the hash has them in it."""
    found: dict[str, str] = {}
    for index, file in enumerate(service.get("label_file", ())):
        if not os.path.exists(file):
            path = ("services", name, "label_file", index)
            raise context.positions.error(path, f"label file {shown_file(file)} not found")
        found.update(read_variables(file, context.environment, context.warn_unset))
    if found:
        service["labels"] = {**found, **(service.get("labels") or {})}
