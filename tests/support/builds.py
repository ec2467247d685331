"""What tests of ``docket build`` share."""

from __future__ import annotations

import functools
import http.server
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

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


class _Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL by which a web server gives the folder's files out."""
    handler = functools.partial(_Server, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
