"""AppArmor: what is written to the kernel; that it works is shown where the kernel has it (tests/oci)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engine.domain.errors import InvalidArgument
from engine.kernel import apparmor, procfs
from engine.services import security_options


def test_a_profile_is_of_the_next_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_own(path: str, flags: int) -> int:
        return os.open(tmp_path / path, flags)

    monkeypatch.setattr(procfs, "open_own", open_own)
    with pytest.raises(OSError, match="no such profile is loaded") as caught:
        apparmor.confine_next_program("docker-default")
    assert caught.value.filename == "AppArmor profile docker-default"
    (tmp_path / "attr").mkdir()
    (tmp_path / "attr/exec").write_bytes(b"")
    assert apparmor.confine_next_program("docker-default") == "exec docker-default"


def test_only_the_kernel_s_own_files_are_opened(tmp_path: Path) -> None:
    """What a container can have put in the place of /proc, or onto a file there (CVE-2019-19921, CVE-2025-52881)."""
    os.close(procfs.open_own("attr/current", os.O_RDONLY))
    (tmp_path / "self/attr").mkdir(parents=True)
    (tmp_path / "self/attr/exec").write_bytes(b"")
    for place in (str(tmp_path), "/proc/self"):
        with pytest.raises(OSError, match="not the kernel's"):
            procfs.open_own("attr/exec", os.O_WRONLY, place)
    with pytest.raises(OSError) as caught:
        procfs.open_own("root/etc/passwd", os.O_RDONLY)
    assert caught.value.errno in (errno.EXDEV, errno.ELOOP)


def test_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "enabled"
    monkeypatch.setattr(apparmor, "_SWITCH", str(switch))
    (warning,) = security_options.parse({"SecurityOpt": ["apparmor=x"]}).warnings
    assert "has no effect" in warning
    switch.write_text("Y\n")
    profile = security_options.apparmor_profile
    for option, wanted in (("apparmor=x", "x"), ("apparmor:x", "x"), ("apparmor=unconfined", "")):
        assert profile({"SecurityOpt": [option]}) == wanted, option
        assert security_options.parse({"SecurityOpt": [option]}).warnings == ()
    assert profile({"SecurityOpt": ["apparmor=a", "apparmor=b"]}) == "b"
    loaded = tmp_path / "profiles"
    monkeypatch.setattr(apparmor, "_LOADED", str(loaded))
    assert profile({}) == ""
    loaded.write_text("other (enforce)\ndocker-default (enforce)\n")
    assert profile({}) == "docker-default" and profile({"Privileged": True}) == ""
    assert profile({"Privileged": True, "SecurityOpt": ["apparmor=x"]}) == "x"
    with pytest.raises(InvalidArgument):
        security_options.parse({"SecurityOpt": ["apparmor="]})
