"""``docket build``, further: what a key must hold, where COPY leads, sources from git, outputs, caches of elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.builds import build, context_of, inside
from support.engine import Engine

pytestmark = pytest.mark.kernel


def test_what_a_step_has_mounted_counts(engine: Engine, tmp_path: Path) -> None:
    """A step that reads a mounted file depends on what is in it, of the context and of another stage."""
    text = (
        "FROM base AS made\nCOPY one /d/one\nCOPY two /d/two\nFROM base\n"
        "RUN --mount=type=bind,source=src,target=/s cat /s/file > /a\n"
        "RUN --mount=type=bind,from=made,source=/d/one,target=/s cat /s > /b\n"
    )
    files = {"src__file": "1", "one": "1", "two": "1"}
    folder = context_of(tmp_path, text, **files)
    build(engine, "-t", "bound", folder)
    assert build(engine, "-t", "bound", folder).count("CACHED") == 4
    (tmp_path / "src/file").write_text("2")
    said = build(engine, "--explain", "-t", "bound", folder)
    assert inside(engine, "bound", "cat /a /b") == "21" and "not cached: src/file changed" in said, said
    (tmp_path / "one").write_text("3")
    build(engine, "-t", "bound", folder)
    assert inside(engine, "bound", "cat /a /b") == "23"
    (tmp_path / "two").write_text("3")  # beside what is mounted
    assert build(engine, "-t", "bound", folder).count("CACHED") == 3


def test_a_trigger_may_copy_from_a_stage_that_nothing_else_needs(engine: Engine, tmp_path: Path) -> None:
    build(engine, "-t", "onbuild", context_of(tmp_path, "FROM base\nONBUILD COPY --from=maker /x /y\n"))
    context_of(tmp_path, "FROM base AS maker\nRUN echo made > /x\nFROM base AS unneeded\nRUN exit 9\nFROM onbuild\n")
    build(engine, "-t", "triggered", str(tmp_path))
    assert inside(engine, "triggered", "cat /y") == "made\n"


def test_where_copy_leads(engine: Engine, tmp_path: Path) -> None:
    """A link to a folder stays a link; one that leads to nothing gets what it leads to; no folder takes a file's place.
    """
    text = "FROM base\nRUN mkdir /real && ln -s real /l && ln -s /run/none /dangling && echo file > /f\n"
    files = {"tree__l__x": "1", "f": "2"}
    folder = context_of(tmp_path, f"{text}COPY f /dangling/deep/\nCOPY f /l/\nWORKDIR /dangling/w\n", **files)
    build(engine, "-t", "leads", folder)
    script = "cat /run/none/deep/f /real/f; ls -d /run/none/w; readlink /l; readlink /dangling"
    assert inside(engine, "leads", script) == "22/run/none/w\nreal\n/run/none\n"
    for line, message in (
        ("COPY tree /", "cannot copy to non-directory: /l"), ("COPY tree/l /f", "/f is not a directory"),
        ("RUN ln -s b /a && ln -s a /b\nCOPY f /a/", "Too many levels of symbolic links"),
    ):  # fmt: skip
        context_of(tmp_path, f"{text}{line}\n")
        assert message in engine.docket("build", "--network", "none", folder, check=False).stderr


def test_arguments_of_a_stage_are_those_of_its_children(engine: Engine, tmp_path: Path) -> None:
    text = "FROM base AS one\nARG X=1\nARG HTTP_PROXY\nFROM one\nRUN echo $X > /x\nFROM base\nCOPY --from=1 /x /\n"
    text += "RUN echo $X >> /x\n"
    folder = context_of(tmp_path, text)
    said = build(engine, "--build-arg", "X=2", "--build-arg", "Y=3", "--build-arg", "no_proxy=x", "-t", "args", folder)
    assert inside(engine, "args", "cat /x") == "2\n\n"
    assert "[Warning] One or more build-args [Y] were not consumed\n" in said


def test_a_prune_leaves_what_a_build_stands_on(engine: Engine, tmp_path: Path) -> None:
    folder = context_of(tmp_path, "FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2; echo up; sleep 1.5\nRUN cat /1 /2\n")
    client = engine.spawn("build", "--network", "none", "-t", "stands", folder)
    assert client.stdout is not None
    assert any(line == "up\n" for line in client.stdout)
    engine.docket("builder", "prune", "-f")
    client.communicate()
    assert client.returncode == 0 and inside(engine, "stands", "cat /1 /2") == "1\n2\n"


def test_equal_steps_of_two_stages_run_once(engine: Engine, tmp_path: Path) -> None:
    step = "RUN head -c 8 /dev/urandom > /id; sleep 0.3\n"
    text = f"FROM base AS a\n{step}FROM base AS b\n{step}FROM a\nCOPY --from=b /id /other\n"
    said = build(engine, "-t", "once", context_of(tmp_path, text))
    assert said.count("Running in") == 1 and inside(engine, "once", "cmp /id /other && echo same") == "same\n"


def test_a_dockerfile_in_small_letters(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "dockerfile").write_text("FROM base\nENV A=1\n")
    build(engine, "-t", "small", str(tmp_path))
