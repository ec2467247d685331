"""Capability sets, on the kernel's own word: /proc/PID/status and what a process can and can't do afterwards."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from support.forked import in_child

from engine.kernel import capabilities

SOME = capabilities.to_mask(["CAP_CHOWN", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"])


def test_names_are_the_kernel_headers() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("kernel installation here lacks the headers of linux-libc-dev")
    defined = {}
    for line in header.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "#define" and words[1].startswith("CAP_") and words[2].isdigit():
            defined[words[1]] = int(words[2])
    assert defined
    assert defined.items() <= capabilities.BITS.items()


def own_sets() -> dict[str, list[str]]:
    """As /proc says it."""
    fields = {"CapBnd": "bounding", "CapEff": "effective", "CapInh": "inheritable", "CapPrm": "permitted",
              "CapAmb": "ambient"}  # fmt: skip
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: capabilities.to_names(int(lines[field], 16)) for field, name in fields.items()}


def test_names_and_bits() -> None:
    assert capabilities.to_mask(["CAP_CHOWN", "chown", "net_admin"]) == 1 | 1 << 12
    assert capabilities.to_names(1 | 1 << 12) == ["CAP_CHOWN", "CAP_NET_ADMIN"]
    assert capabilities.to_names(1 << 63) == ["CAP_63"]
    everything = (1 << len(capabilities.NAMES)) - 1
    assert capabilities.to_mask(capabilities.to_names(everything)) == everything
    with pytest.raises(ValueError, match='unknown capability "CAP_FLY"'):
        capabilities.to_mask(["CAP_FLY"])


def test_own_sets_agree_with_proc() -> None:
    said = own_sets()
    effective, permitted, inheritable = capabilities.get_sets()
    assert capabilities.to_names(effective) == said["effective"]
    assert capabilities.to_names(permitted) == said["permitted"]
    assert capabilities.to_names(inheritable) == said["inheritable"]
    assert capabilities.to_names(capabilities.get_bounding()) == said["bounding"]
    assert capabilities.all_known() >> capabilities.get_bounding().bit_length() == 0 or capabilities.get_bounding() == 0
    assert capabilities.grantable() == permitted & capabilities.get_bounding()


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_all_five_sets_are_what_was_asked_for() -> None:
    def inside() -> dict:
        capabilities.limit_bounding(SOME)
        capabilities.keep_over_setuid(True)
        os.setgroups([])
        os.setgid(1234)
        os.setuid(1234)
        capabilities.set_sets(SOME & ~1, SOME, SOME)
        capabilities.set_ambient(1 << 13)
        return own_sets()

    some = capabilities.to_names(SOME)
    assert in_child(inside) == {
        "bounding": some, "effective": some[1:], "inheritable": some, "permitted": some, "ambient": ["CAP_NET_RAW"],
    }  # fmt: skip


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_what_was_given_up_is_gone_for_good() -> None:
    def inside() -> list[str]:
        capabilities.limit_bounding(SOME & ~(1 << 13))
        capabilities.set_sets(SOME & ~(1 << 13), SOME & ~(1 << 13), 0)
        refused = []
        for name, deed in {
            "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
            "set again": lambda: capabilities.set_sets(SOME, SOME, 0),
            "ambient": lambda: capabilities.set_ambient(1 << 13),
        }.items():
            try:
                deed()
            except PermissionError:
                refused.append(name)
        return refused

    assert in_child(inside) == ["raw socket", "set again", "ambient"]


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_an_ambient_capability_survives_execve_of_another_user() -> None:
    """The whole point of the ambient set: a program without file capabilities keeps it."""
    raw = 1 << 13

    def inside() -> str:
        capabilities.keep_over_setuid(True)
        os.setuid(1234)
        capabilities.set_sets(raw, raw, raw)
        capabilities.set_ambient(raw)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writer, 1)
            os.execv("/bin/grep", ["grep", "CapEff", "/proc/self/status"])
        os.close(writer)
        os.waitpid(pid, 0)
        return os.read(reader, 100).decode()

    assert int(in_child(inside).split()[1], 16) == raw


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_limiting_without_setpcap_names_the_capability() -> None:
    def inside() -> None:
        capabilities.set_sets(0, 0, 0)
        capabilities.limit_bounding(SOME & ~1)

    with pytest.raises(PermissionError) as caught:
        in_child(inside)
    assert caught.value.filename == "bounding set, CAP_CHOWN"
