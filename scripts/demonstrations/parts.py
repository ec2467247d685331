"""The demonstrations of networks and volumes; each takes the engine and shows one thing with real programs."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ground import IMAGE, Engine, Host, eventually, expect, show

MANY = 250
QUERIES_A_SECOND = 5000
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

SERVE = ("python3", "-m", "http.server", "80", "--directory", "/etc")
SERVICE = """
import http.server
class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the service was asked for " + self.path.encode())
http.server.ThreadingHTTPServer(("", 8000), Service).serve_forever()
"""
NGINX = """
events {}
http { server { listen 80; location / { proxy_pass http://service:8000; } } }
"""
RESOLVE = """
import socket, sys, time
names = sys.stdin.read().split() or [f"c{number}" for number in range(int(sys.argv[1]))]
started = time.monotonic()
found = {socket.gethostbyname(name) for name in names}
print(len(found), round(time.monotonic() - started, 3))
"""
ASK = """
import socket, struct, time
def question(number):
    return struct.pack(">HHHHHH", number & 0xffff, 0x100, 1, 0, 0, 0) + b"\\3web\\0\\0\\1\\0\\1"
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.settimeout(2)
sock.connect(("127.0.0.11", 53))
started, answered, asked = time.monotonic(), 0, 0
while time.monotonic() < started + 5:
    while asked < answered + 32:
        sock.send(question(asked))
        asked += 1
    reply = sock.recv(512)
    assert reply[6:8] == b"\\0\\1", reply
    answered += 1
print(round(answered / (time.monotonic() - started)))
"""


def fetch(place: str) -> str:
    """What a web server says; "" where none answers."""
    try:
        with urllib.request.urlopen(f"http://{place}", timeout=2) as answer:
            return answer.read().decode().strip()
    except OSError:
        return ""


def connects(engine: Engine, name: str, address: str, port: int) -> bool:
    """Whether a container gets a connection."""
    code = f"import socket; socket.create_connection(({address!r}, {port}), 2); print('yes')"
    return engine("exec", name, "python3", "-c", code, check=False) == "yes"


def hosts(engine: Engine, image: Path) -> None:
    """Other hosts reach a published port and get replies; an internal network stays inside."""
    containers = ("web", "client", "db", "inner")
    gone = engine.removing(containers=containers, networks=("app", "back"))
    with gone, Host("one", "198.51.100.0") as one, Host("two", "203.0.113.0") as two:
        engine("network", "create", "app")
        engine("network", "create", "--internal", "back")
        engine("run", "-d", "--name", "web", "--network", "app", "-p", "18080:80", IMAGE, *SERVE)
        engine("run", "-d", "--name", "client", "--network", "app", IMAGE, "sleep", "1000")
        engine("run", "-d", "--name", "db", "--network", "back", IMAGE, *SERVE)
        engine("run", "-d", "--name", "inner", "--network", "back", IMAGE, "sleep", "1000")
        for host in (one, two):
            place = f"{host.gateway}:18080/hostname"
            eventually(lambda: host.do(lambda: fetch(place)), "the published port answers")
            show(f"host {host.address} reached the published port at {host.gateway}:18080")
            expect(f"{host.address} - -" in _logs(engine, "web"), f"the container saw {host.address} ask")
        for name in ("web", "db"):
            address = engine.address(name, "app" if name == "web" else "back")
            expect(not one.do(lambda: fetch(f"{address}:80/hostname")), f"{name} itself ({address}) is out of reach")
        server = one.do(lambda: subprocess.Popen(["python3", "-m", "http.server", "8099"], **QUIET))
        try:
            eventually(lambda: connects(engine, "client", one.address, 8099), "the host listens")
            show(f"a container of the network app reached {one.address}")
            expect(not connects(engine, "inner", one.address, 8099), "one of the internal network didn't")
            expect(connects(engine, "inner", "db", 80), "it reached its neighbour by name")
            expect(not connects(engine, "inner", engine.address("web", "app"), 80), "and not the other network")
        finally:
            server.kill()
            server.wait()


def _logs(engine: Engine, name: str) -> str:
    done = subprocess.run([*engine.command, "logs", name], capture_output=True, text=True)
    return done.stdout + done.stderr


def proxy(engine: Engine, image: Path) -> None:
    """nginx in one container is the reverse proxy of a Python service in another one, which it knows by name."""
    with engine.removing(containers=("service", "proxy"), networks=("app",)):
        engine("network", "create", "app")
        engine("run", "-d", "--name", "service", "--network", "app", IMAGE, "python3", "-c", SERVICE)
        start = "printf '%s' \"$CONF\" > /etc/nginx/nginx.conf && exec nginx -g 'daemon off;'"
        flags = ("--network", "app", "-p", "18081:80", "-e", f"CONF={NGINX}")
        engine("run", "-d", "--name", "proxy", *flags, IMAGE, "sh", "-c", start)
        answer = eventually(lambda: fetch("127.0.0.1:18081/a/path"), "nginx answers")
        expect(answer == "the service was asked for /a/path", f"by nginx's port: {answer!r}")


def postgres(engine: Engine, image: Path) -> None:
    """A PostgreSQL's data outlive its container."""
    run_as = "setpriv --reuid postgres --regid postgres --init-groups /usr/lib/postgresql/15/bin"
    start = (
        "chown postgres /data && cd / && export PGDATA=/data/db && "
        f"{{ [ -d $PGDATA ] || {run_as}/initdb >/dev/null; }} && exec {run_as}/postgres -k /tmp"
    )

    def run(name: str) -> None:
        engine("run", "-d", "--name", name, "-v", "pgdata:/data", IMAGE, "sh", "-c", start)
        eventually(lambda: sql(name, "select 1") == "1", "PostgreSQL answers")

    def sql(name: str, statement: str) -> str:
        psql = ("psql", "-h", "/tmp", "-qtA", "-c", statement)
        return engine("exec", "-u", "postgres", name, *psql, check=False)

    with engine.removing(containers=("first", "second")):
        run("first")
        sql("first", "create table t as select n, md5(n::text) from generate_series(1, 100000) n")
        digest = sql("first", "select count(*), md5(string_agg(md5, '' order by n)) from t")
        show("first container wrote", digest)
        engine("rm", "-f", "first")
        run("second")
        found = sql("second", "select count(*), md5(string_agg(md5, '' order by n)) from t")
        expect(found == digest, f"after rm -f, a new container on the same volume read {found}")
    engine("volume", "rm", "pgdata")


def names(engine: Engine, image: Path) -> None:
    """A container's resolver answers 5,000 questions a second."""
    with engine.removing(containers=("web",), networks=("app",)):
        engine("network", "create", "app")
        engine("run", "-d", "--name", "web", "--network", "app", IMAGE, "sleep", "1000")
        rate = int(engine("exec", "web", "python3", "-c", ASK))
        expect(rate >= QUERIES_A_SECOND, f"{rate} questions a second by one container, all answered")


def many(engine: Engine, image: Path) -> None:
    """250 containers on one network, and every name resolves."""
    containers = tuple(f"c{number}" for number in range(MANY))
    with engine.removing(containers=containers, networks=("wide",)):
        engine("network", "create", "wide")
        started = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            run = ("run", "-d", "--network", "wide")
            list(pool.map(lambda name: engine(*run, "--name", name, IMAGE, "sleep", "1000"), containers))
        show(f"{MANY} containers in {time.monotonic() - started:.1f} s")
        for asker in ("c0", f"c{MANY - 1}"):
            found, took = engine("exec", asker, "python3", "-c", RESOLVE, str(MANY)).split()
            expect(int(found) == MANY, f"{asker} found {found} different addresses in {took} s")
