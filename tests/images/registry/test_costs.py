"""What the client costs: nothing before it is used, and memory that does not grow with what it moves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.scripted_registry import LAYER, Exchange, ScriptedRegistry
from support.sources import REPOSITORY

SIZE = 256 << 20
PIECE = bytes(1 << 20)
DIGEST = "sha256:a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484"
"""Of so many zeros."""
GROWTH_LIMIT_MIB = 64

FETCH = """
import sys
from pathlib import Path
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.references import Reference
from engine.images.registry.client import Registries
from engine.images.registry.downloads import Downloads

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024

before = peak()
name, folder, kind, digest, size = sys.argv[1:]
store = ContentStore(Path(folder))
with Registries().repository(Reference.parse(name)) as repository:
    downloads = Downloads(store)
    blob = Descriptor(kind, digest, int(size), None, {})
    print(downloads.start(repository, blob).result().received_bytes)
    repository.push_blob(blob, store)
    downloads.close()
print(peak() - before)
"""


def python(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_daemon_imports_no_client_before_it_is_used() -> None:
    loaded = python("import sys, engine.daemon; print(*sys.modules)")
    assert "engine.images.registry.client" in loaded
    assert not {"requests", "urllib3", "engine.images.registry.transport"} & set(loaded)


def test_a_large_layer_takes_little_memory(registry: ScriptedRegistry, tmp_path: Path) -> None:
    """Down and up; with what the imports take."""

    def large(exchange: Exchange) -> None:
        exchange.start(200, Content_Length=str(SIZE))
        for _ in range(SIZE // len(PIECE)):
            exchange.write(PIECE)

    def swallow(exchange: Exchange) -> None:
        left = int(exchange.headers["Content-Length"])
        while left:
            left -= len(exchange.rfile.read(min(left, len(PIECE))))
        exchange.reply(202, Location="/v2/team/app/blobs/uploads/upload-0")

    registry.on("GET", "/blobs/", large)
    registry.on("PATCH", "/uploads/", swallow, early=True)
    registry.on("PUT", "/uploads/", lambda exchange: exchange.reply(201))
    name = f"{registry.address}/team/app:1"
    received, growth = python(FETCH, name, str(tmp_path / "content"), LAYER, DIGEST, str(SIZE))
    assert int(received) == SIZE
    assert int(growth) < GROWTH_LIMIT_MIB
