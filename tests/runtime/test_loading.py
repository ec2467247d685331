"""Who has entered a container loads no module any more: its folders are the image's by now (CVE-2019-14271's kind)."""

from __future__ import annotations

import os
from typing import Any

import pytest

from engine.kernel import mounts
from engine.runtime import exec_process, rootfs
from engine.runtime.exec_process import JoinNamespaces
from engine.runtime.rootfs import PivotRoot
from engine.runtime.setup import Operation, Setup
from support.forked import in_child


@pytest.mark.parametrize("kind", ["init", "exec"])
def test_an_import_fails_after_the_root_has_changed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*arguments: Any) -> None:
        return

    monkeypatch.setattr(mounts, "pivot_root", nothing)
    monkeypatch.setattr(mounts, "umount", nothing)
    monkeypatch.setattr(exec_process, "setns", nothing)
    setup = Setup({})
    setup.root_fd = os.open("/", os.O_PATH)
    operation: Operation = PivotRoot() if kind == "init" else JoinNamespaces(os.open("/", os.O_PATH), set())

    def enter() -> str:
        operation.execute(setup)
        try:
            import this  # any module that nobody has loaded

            return f"{this} was loaded"
        except ImportError:
            return rootfs.__name__

    assert in_child(enter) == rootfs.__name__
