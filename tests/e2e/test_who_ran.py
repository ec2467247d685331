"""What the log can tell of powers: the evidence of a container, and who ran what, also of those long gone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.engine import Engine

pytestmark = pytest.mark.kernel


def who_ran(engine: Engine, *flags: str) -> list[dict[str, Any]]:
    shown = engine.docket("audit", "who-ran", "--format", "json", *flags).stdout
    return [json.loads(line) for line in shown.splitlines()]


def names(engine: Engine, *flags: str) -> list[str]:
    return [run["name"] for run in who_ran(engine, *flags)]


def test_evidence_by_inspect(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-m", "64m", "-v", "/etc:/host-etc:ro", "base", "sleep", "100")
    found = json.loads(engine.docket("inspect", "--evidence", "web").stdout)[0]
    pid = engine.inspect("web")["State"]["Pid"]
    assert found["namespaces"]["pid"] == os.stat(f"/proc/{pid}/ns/pid").st_ino
    assert found["seccomp_mode"] == 2 and ["/etc", "/host-etc", "ro"] in found["binds"]
    assert engine.docket("inspect", "--evidence", "-f", "{{.no_new_privileges}}", "web").stdout == "false\n"
    engine.docket("create", "--network", "none", "--name", "still", "base", "true")
    assert "has not been started" in engine.refused("inspect", "--evidence", "still")


def test_who_ran_with_which_powers(own_engine: Engine, tmp_path: Path) -> None:
    engine = own_engine
    link = tmp_path / "innocent"
    link.symlink_to("/etc")
    engine.run("--rm", "--name", "plain", "-v", "data:/data", "base", "true")
    engine.run("--rm", "--name", "strong", "--privileged", "base", "true")
    engine.run("--rm", "--name", "open", "--security-opt", "seccomp=unconfined", "base", "true")
    middle = engine.docket("audit", "head").stdout.partition(":")[0]
    engine.run("--rm", "--name", "reader", "-v", "/etc/hostname:/h:ro", "base", "true")
    engine.run("--rm", "--name", "sly", "-v", f"{link}:/x", "base", "true")
    engine.run("--rm", "--name", "all", "-v", "/:/host", "base", "true")
    engine.run("-d", "--name", "later", "base", "sleep", "100")
    engine.docket("exec", "--privileged", "later", "true")
    engine.docket("rm", "-f", "later")
    assert names(engine, "--privileged") == ["strong", "later"]
    assert names(engine, "--without-seccomp") == ["strong", "open"]
    assert names(engine, "--host-mount", "/etc") == ["reader", "sly", "all"], "links are resolved"
    assert names(engine, "--host-mount", "/etc/hostname") == ["reader", "sly", "all"]
    assert names(engine, "--host-mount", "/srv") == ["all"]
    assert names(engine, "--privileged", "--without-seccomp") == ["strong"]
    assert names(engine, "--without-seccomp", "--between", f"seq:{middle}", "0s") == []
    assert names(engine, "--privileged", "--between", f"seq:{middle}", "0s") == ["later"]
    assert names(engine, "--privileged", "--between", "seq:0", f"seq:{middle}") == ["strong"]
    (strong, _) = who_ran(engine, "--privileged")
    assert strong["actor"]["uid"] == os.getuid() and strong["facts"] == ["privileged"]
    assert "WITH" in engine.docket("audit", "who-ran", "--privileged").stdout
    assert "say what to look for" in engine.refused("audit", "who-ran")
    assert "takes two moments" in engine.refused("audit", "who-ran", "--privileged", "--between", "1h")


def test_containers_from_before_the_first_moment_are_known(own_engine: Engine) -> None:
    engine = own_engine
    for name in ("one", "two"):
        engine.docket("create", "--network", "none", "--privileged", "--name", name, "base", "true")
    engine.docket("rename", "one", "uno")
    middle = engine.docket("audit", "head").stdout.partition(":")[0]
    engine.docket("rm", "two")
    engine.docket("start", "-a", "uno")
    engine.docket("rename", "uno", "eins")
    engine.docket("start", "-a", "eins")
    engine.docket("rm", "eins")
    engine.run("--rm", "--privileged", "--name", "eins", "base", "true")
    assert names(engine, "--privileged", "--between", f"seq:{middle}", "0s") == ["uno", "eins", "eins"]
    assert names(engine, "--privileged") == ["uno", "eins", "eins"]
