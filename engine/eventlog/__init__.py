"""The log: what happened, in order, for ever; and what follows from it.

Vocabulary: an *event* is one row of an append-only table, hashed together with the row before it (the *chain*); a
*stream* (``container/<id>``) is the events of one object, counted by *version*; *seq* is an event's place in the whole
log. A *document* is a bulky text stored once by its digest and named by the event it came with. A *projection* is a
table that follows from the events: the *current* objects, their *history* as intervals [valid_from, valid_to) of
sequence numbers, the *names* they hold and the *links* between them. An *upcaster* lifts stored data of an old schema.

Services, the API, recovery and the composition root import ``engine.eventlog.log``; the log itself sees only the domain
and the registry of steps. It is the only importer of SQLAlchemy, Alembic and sqlite3. Statements are written in
SQLAlchemy (``queries``), compiled before an engine runs (``statements``), and run by sqlite3: an execution through
SQLAlchemy costs ten times the statement, and its import half of a start.

Rule for processes: nobody forks while an EventLog is open and goes on to use it in the child. SQLite's locks belong to
the process, so a child that closes a descriptor of the database drops its parent's locks (sqlite.org/howtocorrupt.html,
2.6). The engine's forks therefore come from the spawner, which never opens the database, and a log that finds itself in
another process than the one that opened it refuses to work.
"""
