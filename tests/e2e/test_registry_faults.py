"""Pulls on an engine that dies on the way, and on one with settings of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from support.docker_registry import DockerRegistry
from support.engine import Engine
from support.log_reading import rows

from .test_image_commands import docker_archive, layer
from .test_registries import publish, references, registry

pytestmark = [pytest.mark.kernel, pytest.mark.requires("docker registry")]

__all__ = ["registry"]


def test_a_daemon_killed_in_a_pull_leaves_what_the_next_one_uses(
    own_engine: Engine, registry: DockerRegistry, rootfs: Path
) -> None:
    engine = own_engine
    app = publish(engine, registry, rootfs, "killed")
    engine.stop()
    engine.start(failpoints="log.commit=3*off->kill")
    assert engine.docket("pull", app, check=False).returncode != 0
    assert engine.daemon is not None and engine.daemon.wait(20) == -signal.SIGKILL
    engine.start()
    assert app not in references(engine)
    engine.docket("pull", app)
    types = engine.event_types(app)
    assert types.count("image.pulling") == 2 and types.count("image.pull_failed") == 1
    assert types[-2:] == ["image.pulled", "image.tagged"]
    assert engine.docket("audit", "verify").returncode == engine.docket("system", "fsck").returncode == 0


def test_a_bomb_is_refused_by_the_settings_limit(
    own_engine: Engine, registry: DockerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, name = own_engine, f"{registry.address}/bomb:1"
    archive = tmp_path / "bomb.tar"
    archive.write_bytes(docker_archive([layer(("zeros", bytes(64 << 20)))], [name]))
    engine.docket("load", "-i", str(archive))
    engine.docket("push", name)
    engine.docket("rmi", name)
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"archive-limits": {"bytes": 32 << 20}}))
    made = engine.environment
    monkeypatch.setattr(engine, "environment", lambda **extra: {**made(**extra), "DOCKET_CONFIG": str(config)})
    engine.restart()
    assert "over the limit of 33554432 bytes" in engine.refused("pull", name)
    assert "layer.unpack_failed" in [kind for _, _, kind in rows(engine.root)][-3:]
    assert name not in engine.docket("images").stdout
    engine.docket("image", "prune", "-f")
    assert engine.docket("system", "fsck").stdout.startswith("the store is whole: 1 layer ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("{", "no valid JSON"), ('{"colour": 1}', 'there is no setting "colour"'), ("[]", "a JSON object is expected"),
        ('{"archive-limits": {"ratio": 0}}', "must be a positive number"),
        ('{"insecure-registries": "host"}', "must be a list of strings"),
        ('{"max-concurrent-downloads": 0}', "must be a positive number"),
    ],
)  # fmt: skip
def test_settings_that_are_not_understood_stop_the_start(
    stopped_engine: Engine, tmp_path: Path, settings: str, says: str
) -> None:
    config = tmp_path / "daemon.json"
    config.write_text(settings)
    done = stopped_engine.docket("daemon", check=False, environment={"DOCKET_CONFIG": str(config)})
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert str(config) in done.stderr and says in done.stderr
