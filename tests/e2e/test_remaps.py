"""--userns remap on a data root that can't be mounted with mapped owners: copies of layers, volumes as Docker's."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from engine.kernel import mounts
from support.engine import Engine, running_engine
from support.machine import ENGINE_NEEDS, first_lack
from support.waiting import eventually

pytestmark = pytest.mark.kernel

FIRST, COUNT = 300_000, 65_536
REMAPPED = ("--userns", "remap", "--network", "none")


@pytest.fixture
def unmappable(rootfs: Path) -> Iterator[Engine]:
    """An engine whose data root is a ramfs, which Linux mounts with no other owners than its own."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(None, start=False) as engine:
        ranges = engine.home / "ranges"
        ranges.write_text(f"docket:{FIRST}:{COUNT}\n")
        engine.covers = {"/etc/subuid": ranges, "/etc/subgid": ranges}
        engine.root.mkdir()
        mounts.mount("ramfs", str(engine.root), "ramfs", 0, "mode=711")
        try:
            engine.start()
            engine.docket("import", str(rootfs), "base")
            yield engine
        finally:
            engine.close()
            mounts.umount(str(engine.root), mounts.MNT_DETACH)
            engine.root.rmdir()


def warnings(engine: Engine, name: str) -> str:
    """What the log says that the user should know of the last start."""
    started = [event for event in engine.trail(name) if event["type"] == "container.started"]
    return "\n".join(started[-1]["data"]["warnings"])


def copies(engine: Engine) -> list[Path]:
    return list((engine.root / "remaps").iterdir())


def disk_usage(engine: Engine, kind: str) -> list[str]:
    """The line of ``docket system df``: total, active, size, reclaimable."""
    fields = "|".join("{{.%s}}" % name for name in ("Type", "TotalCount", "Active", "Size", "Reclaimable"))
    shown = engine.docket("system", "df", "--format", fields)
    found = [line.split("|")[1:] for line in shown.stdout.splitlines() if line.startswith(f"{kind}|")]
    return found[0] if found else []


def test_a_layer_is_copied_once_and_goes_when_nobody_needs_it(unmappable: Engine) -> None:
    script = "stat -c %u:%g / /bin; touch /new && echo x >>/etc/hosts && stat -c %u /new"
    shown = unmappable.docket("run", "--name", "first", *REMAPPED, "base", "sh", "-c", script).stdout.split()
    assert shown == ["0:0", "0:0", "0"] and "1 layers were copied, for all" in warnings(unmappable, "first")
    unmappable.docket("rm", "first")
    (copy,) = copies(unmappable)
    assert (copy / "bin").stat().st_uid == FIRST
    unmappable.docket("run", "-d", "--name", "web", *REMAPPED, "base", "sleep", "100")
    assert copies(unmappable) == [copy] and warnings(unmappable, "web") == ""
    assert "Total reclaimed space: 0B" in unmappable.docket("image", "prune", "-f").stdout
    assert copies(unmappable) == [copy], "a container would be started on it"
    images, layer_copies = disk_usage(unmappable, "Images"), disk_usage(unmappable, "Layer Copies")
    assert layer_copies == ["1", "1", images[2], "0B (0%)"] and images[2] != "0B"
    shown = unmappable.docket("system", "df", "-v").stdout.splitlines()[-1].split()
    assert shown[0] == copy.name[:12] and shown[2] == f"0:{FIRST}:{COUNT}" and shown[4] == "1"
    unmappable.docket("rm", "-f", "web")
    assert disk_usage(unmappable, "Layer Copies") == ["1", "0", images[2], f"{images[2]} (100%)"]
    assert f"Total reclaimed space: {images[2]}" in unmappable.docket("image", "prune", "-f").stdout
    assert copies(unmappable) == [] and disk_usage(unmappable, "Layer Copies") == []
    unmappable.docket("run", "--rm", *REMAPPED, "base", "true")
    unmappable.docket("rmi", "base")
    assert copies(unmappable) == [] and list((unmappable.root / "layers").iterdir()) == []
    trail = [event["type"] for event in unmappable.trail(f"sha256:{copy.name}")]
    life = ["remap.copying", "remap.copied", "remap.removed"]
    assert trail == [*life, *life] and unmappable.docket("audit", "verify").returncode == 0


def test_a_copy_that_is_cut_off_leaves_nothing(unmappable: Engine) -> None:
    """A disk that refuses, a worker that is killed, an engine that is: the next start makes it anew."""
    unmappable.stop()
    switch = unmappable.home / "switch"
    for what in ("error(EIO)", "kill"):
        unmappable.start(failpoints=f"layer.rename={what}@{switch}")
        switch.touch()
        failed = unmappable.docket("run", "--rm", *REMAPPED, "base", "true", check=False)
        assert failed.returncode == 125 and len(failed.stderr.strip().splitlines()) == 1
        switch.unlink()
        unmappable.docket("run", "--rm", *REMAPPED, "base", "true")
        unmappable.docket("image", "prune", "-f")
        unmappable.stop()
    unmappable.start(failpoints=f"layer.rename=wait({switch})")
    client = unmappable.spawn("run", "--rm", *REMAPPED, "base", "true")
    eventually(switch.exists)
    unmappable.kill()
    switch.unlink()
    client.communicate(timeout=30)
    unmappable.start()
    assert copies(unmappable) == [] and unmappable.docket("audit", "verify").returncode == 0
    unmappable.docket("run", "--rm", *REMAPPED, "base", "true")
    assert len(copies(unmappable)) == 1


def test_volumes_belong_to_root_inside_and_their_content_to_its_owners(unmappable: Engine) -> None:
    """As with Docker's userns-remap. What another container has put there is not shifted."""
    mounted = ("-v", "data:/etc", *REMAPPED)
    script = "touch /etc/new && stat -c %u /etc /etc/new /etc/group"
    shown = unmappable.docket("run", "--rm", *mounted, "base", "sh", "-c", script).stdout.split()
    assert shown == ["0", "0", "0"], "filled from the image"
    folder = unmappable.root / "volumes/data/_data"
    assert {path.stat().st_uid for path in (folder, folder / "new", folder / "group")} == {FIRST}
    unmappable.docket("run", "--rm", "--network", "none", "-v", "data:/etc", "base", "touch", "/etc/of-the-host")
    shown = unmappable.docket("run", "--rm", *mounted, "base", "stat", "-c", "%u", "/etc/of-the-host", "/etc").stdout
    assert shown.split() == ["65534", "0"]
