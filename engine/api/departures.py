"""Notices clients that leave while a long answer is under way.

A thread that waits for an event or a line of a log does not read its connection, so it would not see the client go;
one thread with epoll(7) watches all of them and sets the event that the waiting code looks at.
"""

from __future__ import annotations

import os
import select
import socket
import threading


class Departures:
    """Sets an event when the other end of a connection is closed or shut down for writing, as Docker takes it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._watched: dict[int, threading.Event] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._wake_read, select.EPOLLIN)
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, departed: threading.Event) -> None:
        """Watch until ``forget``."""
        with self._lock:
            self._watched[sock.fileno()] = departed
            self._epoll.register(sock.fileno(), select.EPOLLRDHUP | select.EPOLLONESHOT)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="api-departures", daemon=True)
                self._thread.start()

    def forget(self, sock: socket.socket) -> None:
        """Must come before the socket is closed: its number may be another's right after."""
        with self._lock:
            if self._watched.pop(sock.fileno(), None) is not None:
                self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        os.write(self._wake_write, b"x")
        if self._thread is not None:
            self._thread.join()
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._wake_read:
                    return
                with self._lock:
                    departed = self._watched.get(fd)
                if departed is not None:
                    departed.set()
