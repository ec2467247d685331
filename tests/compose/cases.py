"""The compose files of tests/compose/files: fifteen projects that together use every key that is supported.

Each folder has beside its compose.yaml what Docker Compose 2.40 makes of it with all profiles: expected.json is what
``config --format json`` prints, with ``{here}`` for the folder, and hashes.txt what ``config --hash '*'`` prints for
the services that no path is in. In tests/compose/examples are the specification's own examples, each a document, and
what is printed for them. ``python -m compose.cases DOCKER-COMPOSE`` writes all of it anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDERS = sorted(path for path in (Path(__file__).parent / "files").iterdir() if path.is_dir())
_EXAMPLES = Path(__file__).parent / "examples"
ENVIRONMENT = {"HOME": "/home/user"}
_HERE = "{here}"
_WITH_FILES = ("02-environment", "12-labels")
"""Their hashes are printed without what env_file and label_file come to; containers' labels have it."""


def expected(folder: Path) -> dict[str, Any]:
    """What Docker Compose printed for a folder."""
    return json.loads((folder / "expected.json").read_text().replace(_HERE, str(folder)))


def hashes(folder: Path) -> dict[str, str]:
    """Service -> the hash that Docker Compose printed for it."""
    file = folder / "hashes.txt"
    return dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}


def examples() -> dict[str, str]:
    """The specification's examples: title -> compose file."""
    texts = (_EXAMPLES / "examples.yaml").read_text().split("---\n")[1:]
    return {text.splitlines()[0].removeprefix("# "): text for text in texts}


def expected_examples() -> dict[str, dict[str, Any]]:
    """Title -> what Docker Compose printed, ``{here}`` for the folder."""
    return json.loads((_EXAMPLES / "expected.json").read_text())


def _record_examples(program: str) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "shop"
        folder.mkdir()
        for title, text in examples().items():
            (folder / "compose.yaml").write_text(text)
            printed = _output([program, "config", "--format", "json"], folder).replace("$$", "$")
            found[title] = json.loads(printed.replace(str(folder), _HERE))
    (_EXAMPLES / "expected.json").write_text(json.dumps(found, indent=1) + "\n")


def _record(program: str) -> None:
    _record_examples(program)
    for folder in FOLDERS:
        command = [program, "--profile", "*", "config"]
        printed = _output([*command, "--format", "json"], folder).replace("$$", "$")
        (folder / "expected.json").write_text(printed.replace(str(folder), _HERE) + "\n")
        services = json.loads(_output([*command, "--format", "json", "--no-env-resolution"], folder))["services"]
        lines = _output([*command, "--hash", "*"], folder).splitlines()
        mine = [line for line in lines if str(folder) not in json.dumps(services[line.split()[0]])]
        if folder.name not in _WITH_FILES:
            (folder / "hashes.txt").write_text("".join(f"{line}\n" for line in sorted(mine)))


def _output(command: list[str], folder: Path) -> str:
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    _record(sys.argv[1])
