"""The Docker Engine API over a unix socket. Translates; decides nothing.

Vocabulary: a *connection* carries *requests* one after the other; a *handler* is a function of the services and a
request that gives an *answer*: a ``Reply`` (whole), a ``Stream`` (bytes as they come) or a ``Hijack`` (the connection
itself is handed on, and HTTP is over). A *view* turns what services know into Docker's JSON. ``wire`` is the only
module that parses what a client sent byte by byte, and the place of every limit on it.

Imports the domain alone: services, and the constructors of what is handed to them, come from the composition root.
Nobody but the composition root imports this package.
"""

API_VERSION = (1, 47)
"""The newest version of the API that is spoken; clients negotiate down from it."""
MIN_API_VERSION = (1, 24)
