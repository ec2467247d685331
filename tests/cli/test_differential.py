"""Our command and Docker's, word for word, against one real Docker (DOCKET_TEST_DOCKER_HOST): the same output, the same
exit status, the same first line of an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Callable, Iterator

import pytest

from cli.conftest import Done, environment
from support.engine import docket_command

HOST = os.environ.get("DOCKET_TEST_DOCKER_HOST", "")
TAG = f"docket-cli-{uuid.uuid4().hex[:8]}"
IMAGE = f"{TAG}:latest"


def run(program: list[str], words: list[str], *, input: bytes = b"") -> Done:
    command = [*program, "-H", HOST, *words]
    done = subprocess.run(command, env=environment(), input=input, capture_output=True, check=False, timeout=60)
    return Done(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode())


def docket(*words: str, input: bytes = b"") -> Done:
    return run(list(docket_command()), list(words), input=input)


def docker(*words: str, input: bytes = b"") -> Done:
    return run(["docker"], list(words), input=input)


@pytest.fixture(scope="module")
def shared(rootfs: Path) -> Iterator[str]:
    """A real Docker with an image, a running and an ended container of ours; their common name."""
    if not HOST:
        pytest.skip("no real Docker to compare with: DOCKET_TEST_DOCKER_HOST is not set")
    if shutil.which("docker") is None:
        pytest.skip("no real Docker to compare with: the docker client is not installed")
    made = docket("import", "-c", 'CMD ["sh"]', "-m", "for tests", str(rootfs), IMAGE)
    assert made.status == 0, made.err
    label = ["--label", f"tests={TAG}", "--label", "team=a b", "--network", "none"]
    try:
        running = ["-v", f"{TAG}:/data", IMAGE, "sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
        assert docket("run", "-d", "--name", f"{TAG}-up", *label, *running).status == 0
        assert docket("run", "--name", f"{TAG}-down", *label, IMAGE, "sh", "-c", "echo gone; exit 3").status == 3
        assert docket("create", "--name", f"{TAG}-new", *label, IMAGE).status == 0
        yield TAG
    finally:
        docket("rm", "-f", "-v", f"{TAG}-up", f"{TAG}-down", f"{TAG}-new")
        docket("volume", "rm", "-f", TAG)
        docket("rmi", "-f", IMAGE)


FILTER = f"--filter label=tests={TAG}"
SAME = [
    f"ps -a {FILTER}",
    f"ps {FILTER} --no-trunc",
    f"ps -aq {FILTER}",
    f"ps -as {FILTER}",
    f"container ls -a {FILTER} --format json",
    f"ps -a {FILTER} --format {{{{.Names}}}}:{{{{.Image}}}}:{{{{.Command}}}}:{{{{.Labels}}}}:{{{{.State}}}}",
    f"ps -a {FILTER} --format table\\t{{{{.ID}}}}\\t{{{{.Status}}}}\\t{{{{.Size}}}}",
    f"ps -a {FILTER} --format {{{{.Nope}}}}",
    "ps --filter nope=1",
    "ps --filter nope",
    "ps -n x",
    "ps extra",
    f"images {TAG}",
    f"images --digests --no-trunc {TAG}",
    f"images -q {TAG}",
    f"images --format json {TAG}",
    f"image ls --format {{{{.Repository}}}}|{{{{.Tag}}}}|{{{{.Size}}}}|{{{{.CreatedAt}}}} {TAG}",
    f"history {IMAGE}",
    f"history --no-trunc -H=false {IMAGE}",
    f"history -q {IMAGE}",
    f"inspect {TAG}-up {IMAGE}",
    f"inspect {TAG}-down nothing-of-the-kind",
    f"container inspect -s {TAG}-up",
    f"image inspect {IMAGE}",
    f"volume inspect {TAG}",
    f"inspect -f {{{{.State.Status}}}}|{{{{.Name}}}}|{{{{json_.Config.Labels}}}} {TAG}-up",
    f"inspect -f {{{{json_.State}}}} {TAG}-up",
    f"inspect -f {{{{range_.Mounts}}}}{{{{.Source}}}}{{{{end}}}} {TAG}-up",
    f"inspect -f {{{{.Config.Cmd}}}}|{{{{.HostConfig.Memory}}}}|{{{{.Config.Labels.none}}}} {TAG}-up",
    f"volume ls --filter name={TAG}",
    f"volume ls -q --filter name={TAG}",
    f"volume ls --filter name={TAG} --format json",
    f"logs {TAG}-up",
    f"logs -t --tail 1 {TAG}-down",
    f"logs --since 1h --until 0s {TAG}-down",
    f"logs -f {TAG}-down",
    "logs --since nonsense nothing-of-the-kind",
    f"exec {TAG}-up sh -c echo_here",
    f"exec -u 1:2 -w /tmp -e A=b {TAG}-up sh -c pwd;id;echo_$A;exit_9",
    f"exec {TAG}-down true",
    f"exec -d {TAG}-up true",
    f"exec -d {TAG}-up no-such-program",
    f"exec {TAG}-up no-such-program",
    f"exec {TAG}-up /etc",
    f"top {TAG}-up -o pid,args",
    f"port {TAG}-up",
    f"port {TAG}-up 80",
    f"wait {TAG}-down",
    f"stop {TAG}-down",
    f"kill {TAG}-down",
    f"pause {TAG}-down",
    f"rm {TAG}-up",
    f"rmi {IMAGE}x nothing-of-the-kind",
    f"attach {TAG}-down",
    f"run --rm --network none {IMAGE} sh -c exit_5",
    f"run --rm --network none {IMAGE} no-such-program",
    f"run --rm --network none {IMAGE} /etc",
    f"run --rm --network none -e A=b -w /tmp -u 1:2 -h name {IMAGE} sh -c env|sort;pwd;id",
    f"run --name {TAG}-up {IMAGE}",
    f"run -m 1 {IMAGE}",
    f"run -m lots {IMAGE}",
    f"run --cpus many {IMAGE}",
    f"run --stop-signal FOO {IMAGE}",
    f"run -v relative/path:/x {IMAGE}",
    f"run --mount type=bind,src=/no/such,dst=/x {IMAGE}",
    f"run --no-such-flag {IMAGE}",
    "run",
    "create --restart always --rm x",
    "start nothing-of-the-kind",
    f"start -a {TAG}-down",
    "stop nothing-of-the-kind nor-this",
    "restart nothing-of-the-kind",
    "rm nothing-of-the-kind",
    "rm -f nothing-of-the-kind",
    "rename nothing-of-the-kind x",
    "tag nothing-of-the-kind x",
    f"tag {IMAGE} a:b:c",
    f"cp {TAG}-up:/none .",
    "history nothing-of-the-kind",
    "volume rm nothing-of-the-kind",
    "volume inspect nothing-of-the-kind",
    "load -i /no/such/file",
    "import /no/such/file",
    "container frob",
    "frob",
    f"events --since 1m --until 0s {FILTER} --format {{{{.Type}}}}|{{{{.Action}}}}|{{{{.Actor.Attributes.name}}}}",
    "info --format {{.Name}}|{{.OSType}}|{{.MemTotal}}|{{.CgroupVersion}}",
    "version --format {{.Server.Version}}|{{.Server.APIVersion}}",
]
"""Words apart by spaces; an underscore inside a word stands for a space."""


def words_of(line: str) -> list[str]:
    keeps = ("tests=", "{{.Type}}")
    return [word if any(keep in word for keep in keeps) else word.replace("_", " ") for word in line.split(" ")]


def first_line(text: str) -> str:
    """An error without what differs by design: our name, the rest of a usage text."""
    line = next((line for line in text.splitlines() if line), "")
    line = line.replace("docker", "docket").removeprefix("docket: ")
    return re.sub(r"in type \S+$", "in type", line)


def ages_apart(text: str) -> str:
    """Two commands a moment apart may see another age."""
    text = re.sub(r"(Less than a second|\d+ seconds?|About a minute|\d+ minutes?)( ago)?", "AGE", text)
    return re.sub(r" {2,}", "  ", text)


@pytest.mark.parametrize("line", SAME)
def test_same_as_docker(shared: str, line: str) -> None:
    words = words_of(line)
    theirs, ours = docker(*words), docket(*words)
    assert ours.status == theirs.status, (ours.err, theirs.err)
    assert ages_apart(ours.out) == ages_apart(theirs.out)
    assert first_line(ours.err) == first_line(theirs.err)


def test_the_table_is_laid_out_alike(shared: str) -> None:
    """Spaces and all, where both look at one moment."""
    columns = "table {{.ID}}\t{{.Names}}\t{{.Ports}}\t{{.Mounts}}"
    line = ["ps", "-a", "--filter", f"label=tests={TAG}", "--format", columns]
    assert docket(*line) == docker(*line)


def test_load_and_save(shared: str, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    assert docker("save", "-o", str(archive), IMAGE).status == 0
    assert docket("load", "-i", str(archive)) == docker("load", "-i", str(archive))
    assert docket("load", "-q", input=archive.read_bytes()).out == f"Loaded image: {IMAGE}\n"


@pytest.mark.parametrize("program", [docker, docket])
def test_input_reaches_the_container_whole(shared: str, program: Callable[..., Done]) -> None:
    data = os.urandom(1 << 20)
    done = program("run", "--rm", "-i", "--network", "none", IMAGE, "cat", input=data)
    assert done.status == 0 and done.out.encode("utf-8", "surrogateescape") == data
