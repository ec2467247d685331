"""Limits for what lies in a folder, by project quotas: what a file counts for (FS_IOC_FSSETXATTR, described in
ioctl_xfs_fsgetxattr(2)), and how much a project may have (quotactl_fd(2), Linux 5.14).

Files that are made in a folder with FS_XFLAG_PROJINHERIT count for its project. Every function takes a descriptor of a
folder: of that folder, or of any on the file system that is meant.
"""

from __future__ import annotations

import errno
import fcntl
import struct

from engine.kernel import ctypes
from engine.kernel.libc import SYS_quotactl_fd, syscall
from engine.kernel.paths import file_system_type

FS_IOC_FSGETXATTR = 0x801C581F
FS_IOC_FSSETXATTR = 0x401C5820
FS_IOC_SETFLAGS = 0x40086602
"""The last two change a file's project, and whether a folder hands it on: its owner may, outside of user namespaces."""
_FSXATTR = struct.Struct("=5I8x")
"""struct fsxattr: flags, extent size, number of extents, project, extent size of copies on write."""
_FS_XFLAG_PROJINHERIT = 0x200

_PRJQUOTA = 2
_Q_GETQUOTA, _Q_SETQUOTA, _Q_XGETQSTATV = 0x800007, 0x800008, 0x5808
_BLOCK_BYTES = 1024
_DQBLK = struct.Struct("=8QI4x")
"""struct if_dqblk: hard and soft limit of blocks, bytes in use, hard and soft limit of inodes, inodes in use, the time
that is left for either, and which of these are meant."""
_QIF_BLIMITS = 1
_STATV_BYTES, _STATV_VERSION, _STATV_FLAGS_AT = 160, 1, 2
"""struct fs_quota_statv, which is asked for by its version."""
_FS_QUOTA_PDQ_ENFD = 1 << 5
_EXT4, _XFS = 0xEF53, 0x58465342
_NO_QUOTAS = (errno.ENOSYS, errno.ESRCH)
"""What kernels say of a file system that can't have any, or has none of projects."""


def refusal(fd: int) -> str:
    """Why no folder can be limited there; "" where one can."""
    if _is_enforced(fd):
        return ""
    kind = file_system_type(fd)
    if kind == _XFS:
        return "its xfs is not mounted with prjquota (which takes Linux 5.14 with quotas of xfs)"
    if kind == _EXT4:
        return "its ext4 lacks the features quota and project, or is not mounted with prjquota (which takes Linux 5.14)"
    return "its file system is neither xfs nor ext4"


def _is_enforced(fd: int) -> bool:
    """ext4 may count what projects have without holding them to their limits."""
    state = ctypes.create_string_buffer(bytes([_STATV_VERSION]), _STATV_BYTES)
    try:
        _quotactl(fd, _Q_XGETQSTATV, 0, state)
    except OSError as error:
        if error.errno not in _NO_QUOTAS:
            raise
        return False
    (flags,) = struct.unpack_from("=H", bytes(state), _STATV_FLAGS_AT)
    return bool(flags & _FS_QUOTA_PDQ_ENFD)


def _quotactl(fd: int, command: int, project: int, argument: object) -> None:
    syscall(SYS_quotactl_fd, fd, command << 8 | _PRJQUOTA, project, argument, subject=f"quota of project {project}")


def _quota(fd: int, project: int) -> tuple[int, ...]:
    """The fields of struct if_dqblk."""
    block = ctypes.create_string_buffer(_DQBLK.size)
    try:
        _quotactl(fd, _Q_GETQUOTA, project, block)
    except FileNotFoundError:  # what xfs says of one that was never used
        return (0,) * 9
    return _DQBLK.unpack(bytes(block))


def is_free(fd: int, project: int) -> bool:
    """Whether nothing there counts for the project, and nobody has limited it."""
    limits_and_use = _quota(fd, project)[:6]
    return not any(limits_and_use)


def limit_bytes(fd: int, project: int) -> int:
    """What the kernel holds the project to; 0 where there is no limit."""
    return _quota(fd, project)[0] * _BLOCK_BYTES


def limit(fd: int, project: int, most_bytes: int) -> None:
    """The most that all files of the project may have, in whole KiB."""
    _set_blocks(fd, project, -(-most_bytes // _BLOCK_BYTES))


def lift(fd: int, project: int) -> None:
    """Take the limit away; there is none where the file system has lost its quotas."""
    try:
        _set_blocks(fd, project, 0)
    except OSError as error:
        if error.errno not in _NO_QUOTAS:
            raise


def _set_blocks(fd: int, project: int, hard_limit: int) -> None:
    _quotactl(fd, _Q_SETQUOTA, project, _DQBLK.pack(hard_limit, 0, 0, 0, 0, 0, 0, 0, _QIF_BLIMITS))


def project(fd: int) -> int:
    """What the folder counts for; 0 is nobody's."""
    return _attributes(fd)[3]


def assign(fd: int, project: int) -> None:
    """Have the folder, and whatever is made in it from now on, count for the project."""
    flags, extent_size, extents, _, copy_size = _attributes(fd)
    changed = _FSXATTR.pack(flags | _FS_XFLAG_PROJINHERIT, extent_size, extents, project, copy_size)
    fcntl.ioctl(fd, FS_IOC_FSSETXATTR, changed)


def _attributes(fd: int) -> tuple[int, ...]:
    return _FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))
