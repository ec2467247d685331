"""The whole engine from the outside: the installed command and Docker's client against a real daemon.

Every test has containers of a real daemon on a data root of its own; after each, nothing of them may be left.
"""
