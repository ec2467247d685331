"""``RUN --mount=type=ssh``, and what a step may only do where the client allows it."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from support.builds import build, context_of, inside
from support.engine import Engine
from support.ssh_agent import agent_with, copy_ssh_add, make_key

pytestmark = pytest.mark.kernel

ASKING = """
FROM base AS tools
COPY root /
FROM tools
RUN --mount=type=ssh,required=true,uid=12,mode=0600 --mount=type=ssh,id=other,target=/other \\
    echo $SSH_AUTH_SOCK > /seen; ssh-add -l >> /seen; ssh-add -D; ssh-add -l >> /seen; \\
    SSH_AUTH_SOCK=/other ssh-add -l >> /seen; stat -c %u:%a $SSH_AUTH_SOCK >> /seen
RUN echo "${SSH_AUTH_SOCK-unset}" >> /seen; ls -d /run/buildkit /other >> /seen || true
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """The socket of an agent with the key ``one``."""
    make_key(tmp_path / "one")
    with agent_with(tmp_path / "one", tmp_path / "agent") as socket:
        yield socket


def test_a_step_asks_the_agents_of_the_client(engine: Engine, tmp_path: Path) -> None:
    """The one of the environment, and one that is made for a key's file; neither can be changed by a step. Nothing of
    them is in the image, nor anywhere when the build is over."""
    one, two = make_key(tmp_path / "one"), make_key(tmp_path / "two")
    folder = context_of(tmp_path / "c", ASKING)
    copy_ssh_add(tmp_path / "c/root")
    chosen = ["--ssh", "default", "--ssh", f"other={tmp_path / 'two'}"]
    with agent_with(tmp_path / "one", tmp_path / "agent") as agent:
        build(engine, *chosen, "-t", "asked", folder, environment={"SSH_AUTH_SOCK": agent})
    assert inside(engine, "asked", "cat /seen") == f"/run/buildkit/ssh_agent.0\n{one}{one}{two}12:600\nunset\n"
    assert "SSH_AUTH_SOCK" not in str(engine.inspect("asked")["Config"]["Env"])
    assert not list((engine.run_folder / "build-agents").iterdir())
    assert build(engine, folder).count("CACHED") == 3  # a step that is carried out no more asks nobody


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["default"], "--ssh default: no agent is there: set SSH_AUTH_SOCK, or name a socket or a key"),
        (["x=/none"], "--ssh x=/none: /none: no such file or directory"),
        (["x={agent},{agent}"], "a socket stands alone"),
        (["x={agent}", "x={agent}"], "the id x is given twice"),
        (["x={agent}"], "no agent of ssh with the id default: give it with --ssh default"),
    ],
)
def test_an_agent_that_is_not_there(
    engine: Engine, tmp_path: Path, agent: str, flags: list[str], message: str
) -> None:
    folder = context_of(tmp_path / "c", "FROM base\nRUN --mount=type=ssh,required x\n")
    given = [word for flag in flags for word in ("--ssh", flag.format(agent=agent))]
    refused = engine.docket("build", *given, folder, environment={"SSH_AUTH_SOCK": ""}, check=False)
    assert refused.returncode == 1 and message in refused.stderr


def test_what_a_step_may_do_where_it_is_allowed(engine: Engine, tmp_path: Path) -> None:
    """Refused before anything is carried out, a base image's triggers too; allowed, it is what the log says."""
    text = "FROM base\nRUN --security=insecure grep CapEff /proc/self/status > /caps\nRUN --network=host true\n"
    folder = context_of(tmp_path, text)
    refused = engine.docket("build", "--allow", "network.host", folder, check=False)
    assert "Dockerfile:2: RUN asks for security.insecure, which is not allowed" in refused.stderr
    refused = engine.docket("build", "--allow", "security.insecure", folder, check=False)
    assert "Dockerfile:3: RUN asks for network.host, which is not allowed" in refused.stderr
    allowed = ["--allow", "security.insecure", "--allow", "network.host"]
    engine.docket("build", *allowed, "-t", "allowed", folder)
    powers = int(inside(engine, "allowed", "cut -f2 /caps"), 16)
    assert powers & 1 << 21 and powers & 1 << 12  # CAP_SYS_ADMIN, CAP_NET_ADMIN
    started = [event["data"] for event in engine.trail("allowed") if event["type"] == "build.started"]
    assert [data["entitlements"] for data in started] == [["network.host", "security.insecure"]]
    engine.docket("build", "-t", "trigger", "-", input="FROM base\nONBUILD RUN --security=insecure true\n")
    triggered = engine.docket("build", "-", input="FROM trigger\n", check=False)
    assert "security.insecure, which is not allowed" in triggered.stderr
    assert "unknown entitlement 'x'" in engine.docket("build", "--allow", "x", folder, check=False).stderr


def test_caches_that_are_no_images_are_refused(engine: Engine, tmp_path: Path) -> None:
    refused = engine.refused("build", "--cache-to", "type=local,dest=x", context_of(tmp_path, "FROM base\n"))
    assert "type=local,dest=x is not supported: use type=inline, and push the image" in refused


def test_what_a_compose_file_lets_a_build_do(engine: Engine, tmp_path: Path, agent: str) -> None:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = "FROM base\nRUN --mount=type=ssh,id=k,required test -S $SSH_AUTH_SOCK\nRUN --network=host true\n"
    context_of(tmp_path / "c", text + "RUN grep CapEff /proc/self/status | cut -f2 > /caps\n")
    file = tmp_path / "compose.yaml"
    given = "cache_to: [type=inline], ssh: {k: $AGENT}"
    command = ("compose", "-f", str(file), "build")
    powers = []
    for more, fails in (("", True), (", entitlements: [network.host]", False), (", privileged: true", True),
                        (", privileged: true, entitlements: [network.host]", False)):  # fmt: skip
        file.write_text(f"services: {{a: {{image: made, build: {{context: c, {given}{more}}}}}}}\n")
        done = engine.docket(*command, environment={"AGENT": agent}, check=False)
        assert done.returncode == (1 if fails else 0), done.stderr
        if fails:
            assert "Dockerfile:3: RUN asks for network.host" in done.stderr
        else:
            powers.append(int(inside(engine, "made", "cat /caps"), 16))
    assert [bool(each & 1 << 21) for each in powers] == [False, True]  # CAP_SYS_ADMIN
