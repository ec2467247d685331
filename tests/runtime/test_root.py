"""The container's root: layers, mounts, devices, masked and read-only paths; and nothing of the host's."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.kernel.steps import STEPS
from engine.runtime.failures import LaunchFailed
from engine.services import devices, oci_spec
from support.containers import Runtime, layer


def test_mounts_are_dockers(runtime: Runtime) -> None:
    lines = [line.split() for line in runtime.shell("cat /proc/mounts").splitlines()]
    found = {fields[1]: (fields[2], fields[3].split(",")) for fields in lines}
    assert found["/"][0] == "overlay" and "rw" in found["/"][1]
    assert found["/proc"][0] == "proc" and {"nosuid", "nodev", "noexec"} <= set(found["/proc"][1])
    assert found["/dev"][0] == "tmpfs" and "nosuid" in found["/dev"][1]
    assert found["/dev/pts"][0] == "devpts" and "gid=5" in found["/dev/pts"][1]
    assert found["/sys"][0] == "sysfs" and "ro" in found["/sys"][1]
    assert found["/dev/mqueue"][0] == "mqueue"
    assert found["/dev/shm"][0] == "tmpfs" and "size=65536k" in found["/dev/shm"][1]
    assert found["/sys/fs/cgroup"][0] in ("tmpfs", "cgroup2") and "ro" in found["/sys/fs/cgroup"][1]
    for path in oci_spec.READONLY_PATHS:
        assert path not in found or "ro" in found[path][1]
    assert not [point for point in found if not point.startswith(("/proc", "/dev", "/sys")) and point != "/"]


def test_cgroups_show_the_containers_own_part(runtime: Runtime) -> None:
    out = runtime.shell("cat /proc/self/cgroup; ls /sys/fs/cgroup/* -d")
    assert all(line.endswith(":/") for line in out.splitlines() if ":" in line and line[0].isdigit())
    done = runtime.run("sh", "-c", "mkdir /sys/fs/cgroup/pids/x || mkdir /sys/fs/cgroup/x")
    assert done.code != 0 and "Read-only" in done.err


def test_devices(runtime: Runtime) -> None:
    out = runtime.shell(
        "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' $d; done;"
        "for l in fd stdin stdout stderr ptmx core; do echo $l $(readlink $l); done; echo x > null;"
        "head -c 3 zero | wc -c;"
        "echo full > full || echo refused"
    )
    for name, major, minor in devices.DEVICES:
        assert f"{name} character special file {major:x}:{minor:x} 666" in out
    for link in ("fd /proc/self/fd", "stdin /proc/self/fd/0", "ptmx pts/ptmx", "core /proc/kcore"):
        assert link in out
    assert "\n3\n" in out and "refused" in out


def test_devices_beyond_the_list_are_refused(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "mknod /dev/x b 254 0 && head -c 1 /dev/x")
    assert done.code != 0 and "not permitted" in done.err
    done = runtime.run("sh", "-c", "mknod /dev/kmsg2 c 1 11 && head -c 1 /dev/kmsg2")
    assert done.code != 0 and "not permitted" in done.err


def test_masked_and_readonly_paths(runtime: Runtime) -> None:
    script = "".join(f"[ -d {p} ] && ls -A {p} || {{ [ -e {p} ] && cat {p}; }};" for p in oci_spec.MASKED_PATHS)
    assert runtime.shell(script + "true") == "", "masked paths read as nothing"
    done = runtime.run("sh", "-c", "echo 1 > /proc/sys/kernel/printk; mkdir /proc/irq/x; ls /sys/x")
    assert "printk: Read-only file system" in done.err, done.err
    points = [line.split()[1] for line in runtime.shell("cat /proc/mounts").splitlines() if " ro," in line]
    assert {path for path in oci_spec.READONLY_PATHS if os.path.exists(path)} <= set(points)


def test_masking_does_not_trust_dev_null(runtime: Runtime, tmp_path: Path) -> None:
    """CVE-2025-31133: an image (or a neighbour) that has something else at /dev/null; the start fails closed."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "null").symlink_to("/proc/sys/kernel/core_pattern")

    def no_dev(spec: dict[str, Any]) -> None:
        spec["mounts"] = [entry for entry in spec["mounts"] if not entry["destination"].startswith("/dev")]
        spec["linux"]["devices"] = []

    with pytest.raises(LaunchFailed, match="not the null device") as caught:
        runtime.start("true", layers=[tmp_path, layer()], change=no_dev)
    assert caught.value.step == "rootfs.mask"


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_as_links_are_refused(runtime: Runtime, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/tmp")
    with pytest.raises(LaunchFailed, match="something other than a folder") as caught:
        runtime.start("true", layers=[tmp_path, layer()])
    assert caught.value.step == "rootfs.mounts"


def test_a_link_of_the_image_leads_no_volume_into_proc(runtime: Runtime, tmp_path: Path) -> None:
    """CVE-2019-19921, CVE-2023-27561: what is written to /proc must get to the kernel, and not into a volume."""
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/link").symlink_to("proc/sys")
    with pytest.raises(LaunchFailed, match="inside /proc"):
        runtime.start("true", layers=[tmp_path / "layer", layer()], host={"Binds": ["data:/link/kernel"]})


def test_an_image_with_links_to_the_host_touches_nothing(runtime: Runtime, tmp_path: Path) -> None:
    """CVE-2026-41579's kind: /dev and mount targets as links to paths of the host."""
    outside = tmp_path / "host"
    outside.mkdir()
    image = tmp_path / "image"
    image.mkdir()
    (image / "dev").symlink_to(outside)
    (image / "etc").symlink_to(outside)
    (image / "data").symlink_to(f"../../../../../../../..{outside}")
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text\n")
    host = {"Binds": [f"{source}:/data/deep", f"{source}/file:/etc/config/file", "vol:/data/volume"]}
    out = runtime.shell("cat /data/deep/file /etc/config/file; mount | grep -c volume", host=host,
                        layers=[image, layer()])  # fmt: skip
    assert out.split() == ["text", "text", "1"]
    assert os.listdir(outside) == []


# --- mounts of the user ------------------------------------------------------------------------------------------


def test_bind_mounts(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("before\n")
    host = {"Binds": [f"{tmp_path}/folder:/mnt/folder", f"{tmp_path}/file:/mnt/file", f"{tmp_path}:/mnt/ro:ro"]}
    script = "echo a > /mnt/folder/new; cat /mnt/file; echo after > /mnt/file; echo x > /mnt/ro/y"
    done = runtime.run("sh", "-c", script, host=host)
    assert done.out == "before\n" and done.code == 1 and "Read-only file system" in done.err
    assert (tmp_path / "folder" / "new").read_text() == "a\n" and (tmp_path / "file").read_text() == "after\n"


def test_readonly_binds_are_readonly_all_the_way_down(runtime: Runtime, tmp_path: Path) -> None:
    """A mount below the source is no hole in "ro"; and the host's own mount stays writable."""
    from support.machine import mount

    (tmp_path / "below").mkdir()
    mount("tmpfs", str(tmp_path / "below"), "tmpfs")
    try:
        done = runtime.run("sh", "-c", "touch /mnt/below/x", host={"Binds": [f"{tmp_path}:/mnt:ro"]})
        assert done.code != 0 and "Read-only" in done.err
        (tmp_path / "below" / "y").write_text("")
    finally:
        os.system(f"umount {tmp_path}/below")


def test_a_missing_bind_source_is_named(runtime: Runtime) -> None:
    def bind(spec: dict[str, Any]) -> None:
        spec["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["rbind"]})

    with pytest.raises(LaunchFailed, match="/no/such: no such file") as caught:
        runtime.start("true", change=bind)
    assert caught.value.step == "rootfs.mounts"


def test_a_file_is_not_mounted_on_a_folder(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchFailed, match="/tmp: not a directory"):
        runtime.start("true", host={"Binds": [f"{tmp_path}/file:/tmp"]})


def test_volumes_and_tmpfs(runtime: Runtime) -> None:
    host = {"Binds": ["data:/data", "other:/var/link/deep"], "Tmpfs": {"/run": "size=1m,mode=700", "/cache": ""}}
    out = runtime.shell("echo v > /data/f; stat -c %a /run /cache; df -k /run | tail -1 | awk '{print $2}'", host=host)
    assert out.split() == ["700", "755", "1024"]
    assert (runtime.volume("data") / "f").read_text() == "v\n"


def test_tmpfs_takes_the_mode_of_what_it_hides(runtime: Runtime) -> None:
    assert runtime.shell("stat -c %a /tmp", host={"Tmpfs": {"/tmp": ""}}).strip() == "1777"


def test_mount_options_that_nobody_knows(runtime: Runtime) -> None:
    def strange(spec: dict[str, Any]) -> None:
        spec["mounts"].append({"destination": "/x", "type": "tmpfs", "source": "t", "options": ["strange=1"]})

    with pytest.raises(LaunchFailed, match="strange"):
        runtime.start("true", change=strange)


def test_mounts_of_the_container_do_not_reach_the_host(runtime: Runtime) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    runtime.start("sleep", "100")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_propagation(runtime: Runtime, tmp_path: Path) -> None:
    """With "rshared" a mount that the host makes below the source appears inside; with the default it doesn't."""
    from support.machine import mount

    mount(str(tmp_path), str(tmp_path), None, 0x1000)
    mount("none", str(tmp_path), None, 1 << 20)
    (tmp_path / "sub").mkdir()
    try:
        follows = runtime.start("sleep", "100", host={"Binds": [f"{tmp_path}:/mnt:rslave"]})
        stays = runtime.start("sleep", "100", host={"Binds": [f"{tmp_path}:/mnt"]})
        mount("tmpfs", str(tmp_path / "sub"), "tmpfs")
        assert "/mnt/sub" in runtime.exec(follows, "cat", "/proc/mounts").out
        assert "/mnt/sub" not in runtime.exec(stays, "cat", "/proc/mounts").out
    finally:
        os.system(f"umount {tmp_path}/sub; umount -l {tmp_path}")


def test_readonly_root(runtime: Runtime) -> None:
    script = "echo x > /file; echo y > /run/file && cat /run/file"
    host = {"ReadonlyRootfs": True, "Tmpfs": {"/run": ""}}
    done = runtime.run("sh", "-c", script, host=host, config={"WorkingDir": "/new/folder"})
    assert "/file: Read-only file system" in done.err.replace("can't create ", "") and done.out == "y\n"


def test_the_image_is_not_written(runtime: Runtime) -> None:
    container = runtime.run("sh", "-c", "echo x > /etc/passwd; rm /bin/vi; mkdir /new").container
    assert (layer() / "etc/passwd").read_text().startswith("root:") and (layer() / "bin/vi").is_symlink()
    upper = container.directory / "upper"
    assert (upper / "etc/passwd").read_text() == "x\n" and (upper / "new").is_dir()
    whiteout = os.lstat(upper / "bin/vi")
    assert stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0


# --- layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 130, 499])
def test_hundreds_of_layers(runtime: Runtime, tmp_path: Path, count: int) -> None:
    layers = []
    for number in range(count):
        folder = tmp_path / f"layer-with-a-name-that-is-not-short-{number:04d}"
        folder.mkdir()
        (folder / f"f{number}").write_text("x")
        (folder / "top").write_text(str(number))
        layers.append(folder)
    out = runtime.shell("cat /top; ls -d /f* | wc -l", layers=[*layers, layer()])
    assert out.split()[0].startswith("0") and out.endswith(f"{count}\n")


def test_too_many_layers_are_refused(runtime: Runtime) -> None:
    with pytest.raises(LaunchFailed, match="500 layers, the image has 501"):
        runtime.start("true", layers=[layer()] * 501)


def test_layers_with_long_paths(runtime: Runtime, tmp_path: Path) -> None:
    """fsconfig(2) takes strings of 255 bytes."""
    deep = tmp_path / ("a" * 200) / ("b" * 200)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep\n")
    assert runtime.shell("cat /file", layers=[deep, layer()]) == "deep\n"


def test_a_missing_layer_is_named(runtime: Runtime) -> None:
    with pytest.raises(LaunchFailed, match="/no/such/layer") as caught:
        runtime.start("true", layers=[Path("/no/such/layer"), layer()])
    assert caught.value.step == "rootfs.overlay"


def test_a_plain_folder_as_root(runtime: Runtime) -> None:
    plan = runtime.plan("sh", "-c", "cat /etc/os-release; mount | grep -c overlay", overlay=None)
    plan["spec"]["root"] = {"path": str(layer()), "readonly": True}
    container = runtime.launch(plan)
    container.wait()
    assert "ID=test" in container.log.read_text() and '"log":"0\\n"' in container.log.read_text()


# --- specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("", "vm", {"x": 1}), ("linux", "mountLabel", "x"), ("process", "selinuxLabel", "x"),
     ("linux", "memoryPolicy", [{"containerID": 0}])],
)  # fmt: skip
def test_what_would_be_ignored_is_refused(runtime: Runtime, section: str, field: str, value: Any) -> None:
    def add(spec: dict[str, Any]) -> None:
        (spec[section] if section else spec)[field] = value

    with pytest.raises(LaunchFailed, match=f"{field}: not supported"):
        runtime.start("true", change=add)


def test_namespaces_that_cannot_be_given(runtime: Runtime) -> None:
    for entry in ({"type": "wild"}, {"type": "user"}, {"type": "mount", "path": "/proc/self/ns/mnt"}):
        with pytest.raises(LaunchFailed, match="can't be"):
            runtime.start("true", change=lambda spec, entry=entry: spec["linux"]["namespaces"].append(entry))


def test_sysctls(runtime: Runtime) -> None:
    host = {"Sysctls": {"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shmmni": "99"}}
    out = runtime.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni", host=host)
    assert out.split() == ["81", "99"]
    with pytest.raises(LaunchFailed, match="sysctl net.ipv4.nosuch"):
        runtime.start("true", host={"Sysctls": {"net.ipv4.nosuch": "1"}})


def test_steps_of_an_init_are_registered(runtime: Runtime) -> None:
    from engine.runtime import init
    from engine.runtime.setup import Setup

    for operation in init.operations(Setup(runtime.plan("true"))):
        assert operation.step in STEPS


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"type": "uts", "path": "/proc/self/ns/net"}, "not a uts namespace"),
        ({"type": "ipc", "path": "/proc/self/ns/ipc", "inode": 1}, "not the ipc namespace that was meant"),
        ({"type": "ipc", "path": "/nowhere"}, "no such file"),
    ],
)
def test_a_namespace_is_joined_only_if_it_is_the_one_that_was_meant(
    runtime: Runtime, entry: dict[str, Any], message: str
) -> None:
    """A pid that has become another process's leads to another namespace: its number tells."""

    def join(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [
            one for one in spec["linux"]["namespaces"] if one["type"] != entry["type"]
        ] + [entry]  # fmt: skip

    with pytest.raises(LaunchFailed, match=message):
        runtime.start("true", change=join)
