"""The use cases, one module a noun: load the state, decide, append, execute, append the outcome.

Vocabulary: a *reference* is what a user types (name, id or unique prefix); a *view* is what the API translates for a
client; a *plan* is what the runtime needs to launch a container. Services never touch the kernel themselves: they
ask the runtime, and everything that can't be rolled back stands between an intent and its outcome in the log.
Imported by api, recovery and the composition root.
"""
