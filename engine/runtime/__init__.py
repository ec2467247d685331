"""From an OCI runtime specification to a process and back to nothing left behind.

Vocabulary. The *supervisor* lives in the daemon and is all that the services see. The *spawner* is executed from a
sealed copy of the interpreter and forks; it has one thread. A *shim* is its child, one for each container: it holds the
stdio, writes the log and the journal, serves exec and attach, and outlives daemon and spawner. The *init* is the
container's first process until it executes the command, an *exec* one more process in its namespaces. A *worker* runs
one job. The *plan* is what services want (the OCI specification and Docker's additions), the *evidence* what the
kernel says was made of it.

    daemon                 spawner            shim                                init
      │ shim + lock + socket  │
      ├──────────────────────>│ fork
      │                       ├────────────────>│
      │ launch (plan, clients)                  │ cgroups, pipes, clone
      ├────────────────────────────────────────>├──────────────────────────────────>│ enters its cgroups, mounts,
      │                                         │                                   │ pivot_root, user, powers ...
      │                                         │                    ready | failed │
      │                                         │<──────────────────────────────────┤
      │                                         │ evidence is read                  │
      │                                         │ go                                │
      │                                         ├──────────────────────────────────>│ execve
      │                                         │             end of file │ failed  │
      │              started | failed           │<──────────────────────────────────┤
      │<────────────────────────────────────────┤ journal: started
      │ signal, pause, resume, exec, attach ... │
      ├────────────────────────────────────────>│
      │                                exited   │ journal: exited                   ╳
      │<────────────────────────────────────────┤

What serves the ``supervisor`` in the daemon apart (``attachment``, ``failures``, ``link``, ``links``, ``mailboxes``,
``spawner_process``), everything belongs to the half that touches the kernel: one thread, no database, few imports. May
import domain and kernel; imported by services and the composition roots.
"""
