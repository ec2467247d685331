"""Pseudo-terminals (pty(7)), opened by descriptor so that no path can be exchanged in between."""

from __future__ import annotations

import fcntl
import os
import struct

# termios, which has some of these, is a library of its own that a container without a terminal need not load
TIOCSCTTY = 0x540E
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431


def open_terminal(ptmx_fd: int) -> tuple[int, int]:
    """Unlock an opened /dev/pts/ptmx and open its other end (TIOCGPTPEER): (master, slave)."""
    fcntl.ioctl(ptmx_fd, TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(ptmx_fd, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return ptmx_fd, slave


def make_controlling(slave_fd: int) -> None:
    """Make a terminal the controlling one of this session leader (TIOCSCTTY)."""
    fcntl.ioctl(slave_fd, TIOCSCTTY, 0)


def copy_window_size(source_fd: int, target_fd: int) -> None:
    """Give one terminal the size of another one."""
    size = fcntl.ioctl(source_fd, TIOCGWINSZ, bytes(8))
    fcntl.ioctl(target_fd, TIOCSWINSZ, size)


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ: size in characters; the foreground process group gets SIGWINCH where it changes."""
    fcntl.ioctl(fd, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
