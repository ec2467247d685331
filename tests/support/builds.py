"""What tests of ``docket build`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.engine import Engine


def context_of(folder: Path, dockerfile: str, **files: str) -> str:
    """A folder with a Dockerfile and these files (``__`` in a name stands for a slash)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(folder)


def build(engine: Engine, *arguments: str, **options: Any) -> str:
    """``docket build --network none ...``, and what it printed."""
    return engine.docket("build", "--network", "none", *arguments, **options).stdout


def inside(engine: Engine, image: str, script: str) -> str:
    return engine.run("--rm", image, "sh", "-c", script)


def nothing_is_left(engine: Engine) -> bool:
    containers = engine.api("GET", "/containers/json?all=1").json
    return not containers and not list((engine.root / "builds").iterdir())
