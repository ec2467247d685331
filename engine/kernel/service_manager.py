"""Telling the service manager how we are: sd_notify(3), the protocol of systemd and others, without its library."""

from __future__ import annotations

import os
import socket


def notify(*states: str) -> bool:
    """Send ``NAME=value`` assignments to whoever started us with NOTIFY_SOCKET; False where nobody wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto("\n".join(states).encode(), address)
        except OSError:
            return False  # a manager that is gone needs no telling
    return True
