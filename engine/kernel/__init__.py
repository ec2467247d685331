"""Linux as Python functions: one thin function a system call. Mechanism only: no policy, no types of the engine.

The only package that calls C. Functions carry the man page's name, take paths as ``str`` or descriptors as
``int`` and raise ``OSError(errno, strerror, object)``; callers test errors (ENOSYS), never kernel versions. Everybody
below services may import it; it imports nothing of the engine and must stay quick to import, since every container's
shim is a fork of a process that did.
"""
