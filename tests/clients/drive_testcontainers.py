"""What a test suite does with testcontainers: two containers on a network, a port, a log that is waited for, an exec.

Runs in an interpreter that has the library. It is told an image and the library's name, and prints JSON.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys

image, library = sys.argv[1:]
DockerContainer = importlib.import_module(f"{library}.core.container").DockerContainer
Network = importlib.import_module(f"{library}.core.network").Network
wait_for_logs = importlib.import_module(f"{library}.core.waiting_utils").wait_for_logs

ECHO = ["sh", "-c", "echo ready; while :; do nc -l -p 80 -e cat; done"]


def main() -> None:
    with Network() as network:
        server = DockerContainer(image).with_command(ECHO).with_exposed_ports(80).with_env("A", "b")
        with server.with_network(network).with_network_aliases("server"):
            wait_for_logs(server, "ready", timeout=20)
            address = server.get_container_host_ip(), int(server.get_exposed_port(80))
            with socket.create_connection(address, timeout=10) as sock:
                sock.sendall(b"over the port\n")
                echoed = sock.recv(100).decode()
            ran = server.exec(["sh", "-c", "echo $A; exit 3"])
            with DockerContainer(image).with_command("ping -c 1 -W 2 server").with_network(network) as other:
                wait_for_logs(other, "1 packets received", timeout=20)
            out, err = server.get_logs()
            found = [echoed, ran[0], ran[1].decode(), out.decode(), err.decode()]
            json.dump(found, sys.stdout)


main()
