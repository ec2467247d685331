"""The demonstration of compose. See scripts/demonstrate-compose."""

from __future__ import annotations

import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from ground import Engine, eventually, expect, ground, show, what_to_show

IMAGE = "programs"
PACKAGES = "nginx-light,node-express,node-pg,nodejs,postgresql"
PLACE = "http://localhost:8000"

COMPOSE = """version: "3.9"
services:
  database:
    build: ./database
    container_name: database_container
    restart: always
    volumes:
      - database_data:/data
    healthcheck:
      test: ["CMD", "psql", "-h", "/tmp", "-U", "postgres", "-c", "select 1"]
      interval: 1s
      timeout: 10s
      retries: 60
  backend:
    build:
      context: ./backend
      dockerfile: Dockerfile
    container_name: node_container
    restart: always
    environment:
      PORT: 3000
      PGHOST: database_container
      PGUSER: postgres
    ports:
    depends_on:
      database:
        condition: service_healthy
  frontend:
    build: ./frontend
    container_name: react_container
    restart: always
    depends_on:
      - backend
  nginx:
    build: ./nginx
    container_name: nginx_container
    restart: always
    ports:
      - 8000:80
    depends_on:
      - frontend
      - backend
volumes:
  database_data: {}
"""
START = """#!/bin/sh
set -eu
export PGDATA=/data/db
run_as="setpriv --reuid postgres --regid postgres --init-groups /usr/lib/postgresql/15/bin"
cd /
chown postgres /data
if [ ! -d "$PGDATA" ]; then
    $run_as/initdb --auth trust >/dev/null
    echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
fi
exec $run_as/postgres -k /tmp -c 'listen_addresses=*'
"""
BACKEND = """const { Pool } = require("pg");
const app = require("express")();
const pool = new Pool();
const made = pool.query("create table if not exists rows (text text)");
app.get("/api/rows", async (request, response) => {
  await made;
  response.json((await pool.query("select text from rows order by text")).rows.map((row) => row.text));
});
app.post("/api/rows/:text", async (request, response) => {
  await made;
  await pool.query("insert into rows values ($1)", [request.params.text]);
  response.status(201).end();
});
app.listen(process.env.PORT);
process.on("SIGTERM", () => process.exit(0));
"""
FRONTEND = """const app = require("express")();
app.get("/", (request, response) => response.send("<h1>The rows are at /api/rows</h1>"));
app.listen(8080);
process.on("SIGTERM", () => process.exit(0));
"""
NGINX = """events {}
http { server {
  listen 80;
  location / { proxy_pass http://react_container:8080; }
  location /api { proxy_pass http://node_container:3000; }
} }
"""
FILES = {
    "compose.yaml": COMPOSE,
    "database/Dockerfile": f"FROM {IMAGE}\nCOPY start.sh /\nSTOPSIGNAL SIGINT\nCMD [\"sh\", \"/start.sh\"]\n",
    "database/start.sh": START,
    "backend/Dockerfile": f"FROM {IMAGE}\nWORKDIR /app\nCOPY . .\nEXPOSE 3000\nCMD [\"node\", \"index.js\"]\n",
    "backend/index.js": BACKEND,
    "frontend/Dockerfile": f"FROM {IMAGE}\nWORKDIR /app\nCOPY . .\nEXPOSE 8080\nCMD [\"node\", \"index.js\"]\n",
    "frontend/index.js": FRONTEND,
    "nginx/Dockerfile": f"FROM {IMAGE}\nCOPY nginx.conf /etc/nginx/\nCMD [\"nginx\", \"-g\", \"daemon off;\"]\n",
    "nginx/nginx.conf": NGINX,
}


def application(engine: Engine, folder: Path) -> None:
    """a database, a backend, a frontend and nginx: up with one command, down with one, and the data stay"""
    for name, text in FILES.items():
        path = folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def compose(*words: str) -> str:
        return engine("compose", "-f", str(folder / "shop/compose.yaml"), *words)

    compose("build")
    try:
        for words in (("up", "-d"), ("up", "-d")):
            began = time.monotonic()
            compose(*words)
            show("docket compose up -d", f"{time.monotonic() - began:.2f} s")
        eventually(lambda: "The rows" in _ask("/"), "the page comes by nginx and the frontend")
        eventually(lambda: _ask("/api/rows") == "[]", "the rows come by nginx, the backend and the database")
        expect(_ask("/api/rows/one", "POST") == "", "a row is written")
        expect(_ask("/api/rows") == '["one"]', f"curl {PLACE}/api/rows says {_ask('/api/rows')}")
        show("services", ", ".join(compose("ps", "--format", "{{.Name}} {{.Status}}").splitlines()))
        began = time.monotonic()
        compose("down")
        show("docket compose down", f"{time.monotonic() - began:.2f} s")
        expect(engine("volume", "ls", "-q") == "shop_database_data", "the volume stays")
        compose("up", "-d")
        eventually(lambda: _ask("/api/rows") == '["one"]', "the row is there again")
        show("after down and up", _ask("/api/rows"))
    finally:
        compose("down", "-v")
    expect(engine("volume", "ls", "-q") == "", "down -v removes the volume")


def _ask(path: str, method: str = "GET") -> str:
    """What is answered; "no answer" where nobody or an error does."""
    try:
        with urllib.request.urlopen(urllib.request.Request(PLACE + path, method=method), timeout=5) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.HTTPError):
        return "no answer"


def main() -> None:
    image, _ = what_to_show("scripts/demonstrate-compose", "An application of four services.", ("application",))
    with ground(image, PACKAGES, IMAGE) as (engine, _), tempfile.TemporaryDirectory() as folder:
        show(f"application: {application.__doc__}")
        application(engine, Path(folder))


if __name__ == "__main__":
    main()
