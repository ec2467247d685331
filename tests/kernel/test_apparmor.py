"""AppArmor: what is written to the kernel; that it works is shown where the kernel has it (tests/oci)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.errors import InvalidArgument
from engine.kernel import apparmor
from engine.services import security_options


def test_a_profile_is_of_the_next_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apparmor, "_PLACES", (str(tmp_path / "none"), str(tmp_path / "exec")))
    apparmor.confine_next_program("docker-default")
    assert (tmp_path / "exec").read_bytes() == b"exec docker-default"


def test_one_that_can_not_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apparmor, "_PLACES", (str(tmp_path / "none"), str(tmp_path / "no" / "exec")))
    with pytest.raises(OSError, match="no such profile is loaded") as caught:
        apparmor.confine_next_program("x")
    assert caught.value.filename == "AppArmor profile x"


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
