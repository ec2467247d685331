"""docker-compose 1.29 and Docker Compose 2: one project from ``up`` to ``down``, the same lines for both."""

from __future__ import annotations

from clients.rows import Row

FILE = """
services:
  db:
    image: IMAGE
    command: ["sh", "-c", "echo ready; trap exit TERM; while :; do sleep 0.1; done"]
    environment: {A: b}
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    networks: [back]
  web:
    image: IMAGE
    command: ["sh", "-c", "echo serving; trap exit TERM; while :; do sleep 0.1; done"]
    depends_on: [db]
    links: ["db:database"]
    ports: ["127.0.0.1:18088:80"]
    labels: {role: front}
    stop_grace_period: 2s
    networks: {back: {aliases: [www]}, front: {}}
volumes: {data: {}}
networks:
  back: {}
  front: {driver: bridge, ipam: {config: [{subnet: 10.213.11.0/24}]}}
"""

ROWS = [
    Row("up -d", prints="(?i)web.*(done|started)"),
    Row("up -d", prints="(?i)(up-to-date|running)"),
    Row("ps", prints="127.0.0.1:18088->80/tcp"),
    Row("ps -q"),
    Row("logs", prints="(?s)(serving.*ready|ready.*serving)"),
    Row("exec -T web sh -c 'echo hi; exit 4'", status=4, prints="^hi$"),
    Row("exec -T web wc -c", input="x" * 1000),
    Row("exec -T db ping -c 1 -W 2 www", prints=" 0% packet loss"),
    Row("exec -T web ping -c 1 -W 2 database", prints=" 0% packet loss"),
    Row("run --rm -T web echo one", prints="one"),
    Row("exec -T web sh -c 'ls /sys/class/net | wc -l'", prints="^3$"),
    Row("top", prints="sleep"),
    Row("port web 80", prints="127.0.0.1:18088"),
    Row("pause web"),
    Row("unpause web"),
    Row("restart -t 1 web"),
    Row("up -d --scale db=2", prints="(?i)(running|up-to-date)"),
    Row("up -d --force-recreate web", prints="(?i)(done|started)"),
    Row("kill -s TERM web"),
    Row("start"),
    Row("images", prints="latest"),
    Row("stop -t 1"),
    Row("rm -f web"),
    Row("down -v --remove-orphans"),
    Row("ps -q", prints="^$"),
]
