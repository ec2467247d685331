"""The registry client: images from and to registries (OCI distribution specification 1.1, Docker Registry HTTP API V2).

    Registries          one for the daemon: settings, and what a registry can be asked without a repository
    └── Repository      one for an operation: its connections, its tokens, its cancellation
    Downloads           one for the daemon: the threads that fetch blobs, three at once, each blob once

Vocabulary: a *registry* is a host that serves repositories, at one or more *endpoints* (its own address, mirrors); a
*challenge* is what a registry answers to a request without credentials; a *token* is what a token server gives for
credentials and *scopes*; an *identity token* is what it gives to be kept in place of a password.

A registry is hostile input: what comes is bounded, digested and compared with its descriptor before anything else sees
it; where it sends us is checked before credentials or connections follow.

Only this package imports requests and urllib3, and only in ``connections`` and ``transport``, which the first operation
imports; nothing of the package is imported by what workers run.
"""
