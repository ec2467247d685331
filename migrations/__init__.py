"""Alembic's migrations of the event log's database, installed as the package engine.migrations.

Revisions are counted in four digits (``0001``), so that newer is greater. A migration is frozen: it says everything
itself and imports nothing of the engine. Migrations change tables, never the rows of the log.
"""
