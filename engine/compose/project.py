"""What the two halves of compose share: the loaded project, what it is loaded from, and the one kind of error."""

from __future__ import annotations

from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


class ComposeError(Exception):
    """The project can't be loaded or brought up: one line that names the file, the line and the key."""

    def __init__(self, message: str) -> None:
        super().__init__(message.replace("\n", "\\n"))


class LoadOptions(Record):
    """What the global flags and the environment say about which project is meant.

    Empty means not given: ``files`` are then looked for, the name is derived. ``environment`` is the process's;
    variables of .env files come in behind it."""

    files: tuple[str, ...] = ()
    project_name: str = ""
    project_directory: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    interpolate: bool = True
    normalize: bool = True
    check_consistency: bool = True
    resolve_paths: bool = True
    resolve_env_files: bool = True
    all_resources: bool = False
    """Keep networks, volumes, secrets and configs that no service uses."""
    services: tuple[str, ...] = ()
    """Services that are meant by name, and so enabled whatever their profiles."""


class Project(Record):
    """A project as it is meant, in the specification's canonical form: what Docker Compose 2.40 prints for
    ``config --format json``, the extensions of services, and their ``label_file``. Long forms everywhere; durations are
    texts ("1m30s"), and so are sizes: digits, bytes."""

    name: str
    working_dir: str
    files: tuple[str, ...]
    """The compose files in the order they were merged, absolute. Included and extended ones are not among them."""
    model: dict[str, Any]
    profiles: tuple[str, ...]
    """The active ones. Services of other profiles are in ``disabled`` and not in the model."""
    disabled: dict[str, Any]
    warnings: tuple[str, ...]
    environment: Mapping[str, str] = {}
    """What variables were resolved against: the process's environment over that of the .env files."""
