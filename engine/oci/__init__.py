"""The OCI runtime's command line (runtime specification 1.2): ``docket-runtime create|start|state|kill|delete|...``.

What containerd, dockerd and podman start instead of runc. Each verb is a process of its own that shares nothing with
the engine's daemon: a folder a container in ``--root``, the launch and the init of ``engine.runtime``, and a journal of
what was done, one hash-chained line a verb.

    create                     init                                    start
      │ clone; handshake of launch ... ready │                            │
      │ go, with a listening socket          │                            │
      ├─────────────────────────────────────>│ accept                     │
      │ ends: the caller is the new parent   │<───────────────────────────┤ connects
                                             │ execve, or the reason ────>│
"""
