"""``docket compose`` with real containers: the article's application in its shape on tiny images, and what it must
survive."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest

from support.engine import Completed, Engine, docket_command
from support.waiting import eventually

pytest.importorskip("yaml", reason="PyYAML is not installed")

pytestmark = [pytest.mark.kernel, pytest.mark.deadline(240)]

SHOP = """
name: shop
services:
  db:
    image: base
    container_name: shop_db
    command: sh -c "mkdir -p /data/www && touch -a /data/www/rows && exec httpd -f -p 27017 -h /data/www"
    init: true
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, test, -f, /data/www/rows], interval: 300ms, retries: 20}
    stop_grace_period: 1s
  backend:
    build: ./backend
    init: true
    environment: {DATABASE: "http://shop_db:27017/rows"}
    configs: [{source: motd, target: /www/motd}]
    depends_on: {db: {condition: service_healthy}}
    stop_grace_period: 1s
  proxy:
    image: base
    init: true
    command: sh -c "wget -qO /tmp/first http://shop_db:27017/rows && exec httpd -f -p 80 -h /www"
    ports: ["127.0.0.1:${PORT:-18432}:80"]
    depends_on: [backend]
    volumes: ["./forward:/www/cgi-bin/forward:ro"]
    stop_grace_period: 1s
volumes: {data: {}}
configs: {motd: {content: "hello from ${WHO:-compose}\\n"}}
"""
DOCKERFILE = """FROM base
COPY rows /www/cgi-bin/rows
CMD ["httpd", "-f", "-p", "3000", "-h", "/www"]
"""
ROWS = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'; wget -qO- "$DATABASE"; cat /www/motd
"""
FORWARD = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'; wget -qO- http://backend:3000/cgi-bin/rows
"""
PORT = 18432


class Shop:
    """A folder with the application, and compose commands in it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        (folder / "backend").mkdir()
        for name, text in (("compose.yaml", SHOP), ("backend/Dockerfile", DOCKERFILE), ("backend/rows", ROWS),
                           ("forward", FORWARD)):  # fmt: skip
            (folder / name).write_text(text)
        (folder / "backend/rows").chmod(0o755)
        (folder / "forward").chmod(0o755)

    def compose(self, *words: str, check: bool = True, **variables: str) -> Completed:
        return self.engine.docket("compose", *words, check=check, cwd=self.folder, environment=variables)

    def holds(self, service: str, script: str) -> bool:
        """Whether a script succeeds in a service's container."""
        return self.compose("exec", "-T", service, "sh", "-c", script, check=False).returncode == 0

    def change(self, old: str, new: str) -> None:
        path = self.folder / "compose.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def page(self) -> str:
        """What the browser sees: through proxy, backend and database; "" while one of them isn't there yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/cgi-bin/forward", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.compose("ps", "-a", "--format", "json").stdout.splitlines()]

    def ids(self) -> dict[str, str]:
        return {row["Name"]: row["ID"] for row in self.rows()}


@pytest.fixture
def shop(engine: Engine, tmp_path: Path) -> Iterator[Shop]:
    yield Shop(engine, tmp_path)


def test_the_article(shop: Shop) -> None:
    """Up with one command and down with one; the data stays until it is told to go."""
    first = shop.compose("up", "-d", "--quiet-build")
    assert first.stderr.index("shop_db  Healthy") < first.stderr.index("Container shop-backend-1  Starting")
    eventually(lambda: shop.page() == "hello from compose\n", what="the page comes through all of them")
    shop.compose("exec", "-T", "db", "sh", "-c", "echo a row >> /data/www/rows")
    assert shop.page() == "a row\nhello from compose\n"
    rows = {row["Name"]: row for row in shop.rows()}
    assert rows["shop_db"]["Health"] == "healthy" and rows["shop-proxy-1"]["State"] == "running"
    assert rows["shop-proxy-1"]["Publishers"][0]["PublishedPort"] == PORT
    assert shop.compose("port", "proxy", "80").stdout == f"127.0.0.1:{PORT}\n"
    assert shop.compose("ls", "-q").stdout == "shop\n"

    ids = shop.ids()
    again = shop.compose("up", "-d")
    assert "Created" not in again.stderr and "Started" not in again.stderr and shop.ids() == ids

    explained = shop.compose("up", "-d", "--explain", WHO="docket")
    assert "Container shop-backend-1: recreate, since injected./www/motd:" in explained.stderr
    now = shop.ids()
    assert now["shop_db"] == ids["shop_db"] and now["shop-backend-1"] != ids["shop-backend-1"]
    eventually(lambda: shop.page() == "a row\nhello from docket\n", what="its name leads to the new container")

    down = shop.compose("down").stderr
    assert down.index("shop-proxy-1  Stopped") < down.index("shop-backend-1  Stopping")
    assert shop.rows() == [] and [one["Name"] for one in volumes(shop.engine)] == ["shop_data"]
    shop.compose("up", "-d")
    eventually(lambda: "a row" in shop.page(), what="the data has survived")
    assert shop.compose("down", "-v", "--rmi", "local").stderr.count("Removed") == 6
    assert not volumes(shop.engine) and not own_networks(shop.engine)

    records = json.loads("[" + ",".join(
        shop.engine.docket("audit", "trail", "--project", "shop", "--format", "json").stdout.splitlines()) + "]")
    ups = {r["correlation"] for r in records if r["causation"] == "compose:shop/start/backend"}
    assert len(ups) == 3, "each up is one tree of causes"
    started = [r for r in records if r["type"] == "container.started" and r["correlation"] in ups]
    assert len(started) == 7 and all(r["causation"].startswith(("compose:shop/", "event:")) for r in started)


def volumes(engine: Engine) -> list[dict[str, Any]]:
    return engine.api("GET", "/volumes").json["Volumes"] or []


def own_networks(engine: Engine) -> list[str]:
    return [one["Name"] for one in engine.api("GET", "/networks").json if one["Name"].startswith("shop")]


def small(shop: Shop, services: str) -> None:
    (shop.folder / "compose.yaml").write_text("name: shop\n" + services)


JOBS = """
services:
  one: {image: base, network_mode: none, command: "sh -c 'echo out; echo err >&2; exit 5'"}
  two: {image: base, network_mode: none, init: true, command: "sh -c 'echo up; exec sleep 1000'", stop_grace_period: 1s}
  late:
    image: base
    network_mode: none
    command: "true"
    depends_on: {one: {condition: service_completed_successfully}}
"""


def test_in_the_foreground(shop: Shop) -> None:
    """Prefixed lines, and the exit statuses."""
    small(shop, JOBS)
    done = shop.compose("up", "one", "two", "--abort-on-container-exit", check=False)
    assert done.returncode == 5
    assert "Attaching to one-1, two-1\n" in done.stdout and "one-1  | out\n" in done.stdout
    assert "one-1  | err\n" in done.stderr and "one-1 exited with code 5\n" in done.stdout
    assert "Container shop-two-1  Stopped" in done.stderr and "two-1 exited with code 143\n" in done.stdout
    assert "Started" not in done.stderr  # their output tells it
    small(shop, "services: {two: {image: base}}\n")
    assert shop.compose("rm", "-f").stdout == "Going to remove shop-two-1\n"  # an orphan stays
    small(shop, JOBS)
    assert shop.compose("up", "one", check=False).returncode == 0
    assert shop.compose("up", "one", "--exit-code-from", "one", check=False).returncode == 5
    logs = shop.compose("logs", "--no-log-prefix", "--tail", "1", "one")
    assert logs.stdout + logs.stderr in ("out\n", "err\n")
    failed = shop.compose("up", "-d", "late", check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == 'service "one" didn\'t complete successfully: exit 5'
    assert shop.compose("run", "--rm", "-T", "two", "sh", "-c", "exit 8", check=False).returncode == 8
    for name in ("two", "nosuch"):
        refused = shop.compose("exec", "-T", name, "true", check=False).stderr
        assert refused == f'service "{name}" is not running\n'
    shop.compose("down", "-t", "0")


def test_the_keyboard_ends_it(shop: Shop) -> None:
    small(shop, JOBS)
    process = shop.engine.spawn("compose", "up", "two", cwd=shop.folder)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "two-1  | up\n":
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Gracefully Stopping" in errors and "Container shop-two-1  Stopped" in errors
    assert [row["State"] for row in shop.rows()] == ["exited"]
    shop.compose("down", "-t", "0")


ANOTHER_PROFILE = """
services:
  web: {image: base, command: sleep 1000, init: true}
  tool: {image: base, command: sleep 1000, init: true, profiles: [debug]}
"""


def test_down_leaves_what_has_another_profile_as_docker_compose_does(shop: Shop) -> None:
    small(shop, ANOTHER_PROFILE)
    shop.compose("--profile", "debug", "up", "-d")
    assert "Network shop_default  Resource is still in use\n" in shop.compose("down", "-t", "0").stderr
    assert [(row["Service"], row["State"]) for row in shop.rows()] == [("tool", "running")]
    assert "Network shop_default  Removed\n" in shop.compose("--profile", "debug", "down", "-t", "0").stderr
    assert not shop.rows()


ONE_OFF = "services: {a: {image: base, network_mode: none, volumes: ['./src:/src/', '/kept']}}\n"


def test_one_off_containers(shop: Shop) -> None:
    """What the command line mounts stands in place of the service's; input stays open also where nobody has come."""
    small(shop, ONE_OFF)
    for name in ("src", "alt"):
        (shop.folder / name).mkdir()
        (shop.folder / name / "file").write_text(name)
    assert shop.compose("run", "--rm", "-T", "a", "cat", "/src/file").stdout == "src"
    for volume in ("./alt:/src", f"{shop.folder}/alt:/src/:ro"):
        assert shop.compose("run", "--rm", "-T", "-v", volume, "a", "cat", "/src/file").stdout == "alt"
    name = shop.compose("run", "-d", "a", "cat").stdout.strip()
    assert [row["State"] for row in shop.rows()] == ["running"]
    attached = shop.engine.docket("attach", name, input="heard\n", check=False)
    assert attached.stdout == "heard\n"
    shop.compose("down", "-t", "0")


NEEDS_A_FILE = "services: {a: {image: base, command: sleep 100, network_mode: none, env_file: some.env}}\n"


def test_an_env_file_that_is_gone_holds_only_up_what_makes_containers(shop: Shop) -> None:
    small(shop, NEEDS_A_FILE)
    (shop.folder / "some.env").write_text("A=b\n")
    shop.compose("up", "-d")
    (shop.folder / "some.env").unlink()
    assert [row["State"] for row in shop.rows()] == ["running"]
    for words in (["restart", "-t", "0"], ["exec", "-T", "a", "true"], ["stop", "-t", "0"], ["start"], ["logs"]):
        shop.compose(*words)
    refused = shop.compose("up", "-d", check=False)
    assert refused.returncode == 1 and "env file some.env not found" in refused.stderr
    shop.compose("down", "-t", "0")
    assert not shop.rows()


ELSEWHERE = """
services:
  a: {image: base, command: sleep 100, network_mode: none}
  b: {image: base, command: sleep 100, network_mode: none, profiles: [x], depends_on: [a]}
"""


def test_a_project_that_is_named_is_not_the_one_of_the_file_at_hand(shop: Shop) -> None:
    """As with Docker Compose: ``-p`` without ``-f`` means what has that name, whatever files are near."""
    small(shop, ELSEWHERE)
    shop.compose("-p", "far", "--profile", "x", "up", "-d")
    small(shop, "services: {a: {image: base}, other: {image: base}}\n")
    for words in (["stop", "-t", "0", "b"], ["start"], ["restart", "-t", "0", "b"]):
        assert shop.compose("-p", "far", *words).stderr.count("Container far-b-1") == 2
    assert shop.compose("-p", "far", "start", "other", check=False).stderr == "no such service: other\n"
    for words in (["ps"], ["logs"], ["stop"], ["rm", "-f"]):  # it may well be a service, and have no containers
        assert "no such service" not in shop.compose("-p", "far", *words, "other").stderr
    nowhere = shop.engine.docket("compose", "-p", "far", "export", "-o", "far.tar", "a", cwd=shop.folder.parent)
    assert nowhere.stderr == "" and (shop.folder.parent / "far.tar").exists()
    assert "invalid project name 'Far'" in shop.compose("-p", "Far", "down", check=False).stderr
    gone = shop.compose("-p", "far", "down", "-t", "0").stderr
    assert gone.index("far-b-1  Removed") and gone.index("far-b-1  Stopped") < gone.index("far-a-1  Stopping")
    assert shop.engine.docket("ps", "-aq", "--filter", "label=com.docker.compose.project=far").stdout == ""


WATCHED = """
services:
  web:
    image: base
    network_mode: none
    init: true
    command: sleep 1000
    develop: {watch: [{path: ./source, action: sync+exec, target: /app, exec: {command: [touch, /synced]}}]}
"""


def test_what_changes_is_brought_into_the_container(shop: Shop) -> None:
    small(shop, WATCHED)
    source = shop.folder / "source"
    (source / "lib").mkdir(parents=True)
    process = shop.engine.spawn("compose", "watch", cwd=shop.folder)
    assert process.stderr is not None
    for line in process.stderr:
        if line == "Watch enabled\n":
            break
    (source / "lib/file").write_text("now")
    eventually(lambda: shop.holds("web", "cat /app/lib/file && rm /synced"), what="the file is there")
    (source / "lib/file").unlink()
    (source / "lib").rmdir()
    eventually(lambda: shop.holds("web", "test ! -e /app/lib && test -e /synced"), what="the folder is gone")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    shop.compose("down", "-t", "0")


MANY = "services:\n" + "".join(
    f"  s{n}: {{image: base, network_mode: none, init: true, command: sleep 1000, environment: {{V: '${{V:-0}}'}}}}\n"
    for n in range(6)
)


def test_a_command_that_was_killed_is_settled_by_the_next(shop: Shop) -> None:
    """Whenever ``up`` dies, also in the middle of a recreation: the next one settles it. So with ``down``."""
    small(shop, MANY)
    for number, pause_s in enumerate((0.2, 0.3)):
        process = spawned(shop, "up", "-d", V=str(number))
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        shop.compose("up", "-d", V=str(number))
        rows = shop.rows()
        assert sorted(row["Name"] for row in rows) == [f"shop-s{n}-1" for n in range(6)]
        assert {row["State"] for row in rows} == {"running"}
    assert "Created" not in shop.compose("up", "-d", V="1").stderr
    process = spawned(shop, "down", "-t", "0")
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    shop.compose("down", "-t", "0")
    assert shop.rows() == []


def spawned(shop: Shop, *words: str, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*docket_command(), "compose", *words], cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=shop.engine.environment(**variables),
    )  # fmt: skip


def test_dry_runs_and_refusals(shop: Shop) -> None:
    small(shop, MANY)
    plan = shop.compose("--dry-run", "up", "-d").stdout
    assert plan.count("create     container") == 6 and plan.count("start      container") == 6
    assert shop.rows() == []
    assert shop.compose("up", "-d", "nope", check=False).stderr == "no such service: nope\n"
    elsewhere = shop.engine.docket("compose", "-p", "nope", "down", cwd=shop.folder.parent)
    assert elsewhere.stderr == 'WARN: No resource found to remove for project "nope".\n'
    small(shop, "services: {a: {image: base, network_mode: none, command: ['true'], isolated: 1}}\n")
    assert shop.compose("up", "-d", check=False).returncode != 0


@pytest.fixture
def own_shop(own_engine: Engine, tmp_path: Path) -> Iterator[Shop]:
    yield Shop(own_engine, tmp_path)


def test_an_engine_that_is_killed_under_a_command(own_shop: Shop, tmp_path: Path) -> None:
    """In the middle of ``up`` and of ``down``: the same command, on the next engine, settles it."""
    engine = own_shop.engine
    small(own_shop, MANY.replace("network_mode: none, ", ""))
    names = [f"shop-s{n}-1" for n in range(6)]
    up, down = tmp_path / "up", tmp_path / "down"
    points = f"log.commit=8*off@{up}->kill@{up}; container.remove=2*off@{down}->kill@{down}"
    engine.stop()
    engine.start(failpoints=points)
    for flag, words in ((up, ("up", "-d")), (down, ("down", "-t", "0"))):
        flag.touch()
        cut_off = own_shop.compose(*words, check=False)
        flag.unlink()
        assert cut_off.returncode == 1 and not engine.answers(), cut_off.stderr
        engine.start(failpoints=points)
        own_shop.compose(*words)
        found = sorted((row["Name"], row["State"]) for row in own_shop.rows())
        assert found == ([(name, "running") for name in names] if words[0] == "up" else [])
    assert not own_networks(engine)
