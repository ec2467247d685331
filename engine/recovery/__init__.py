"""What happens at start: the log against the kernel. Every open intent gets exactly one outcome.

Nothing is guessed: whether a shim lives is told by the lock that it holds, what it saw by its journal on the disk.
Imported by the composition root only.
"""
