"""Alembic's environment: runs the migrations on the connection that engine.eventlog.migrate hands over, in its
transaction, and gives them an operation that most of them consist of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context
from alembic.operations import MigrateOperation, Operations


@Operations.register_operation("create_noun")
class CreateNoun(MigrateOperation):
    """``op.create_noun(noun)``: the tables of a noun's states, now and before, as every revision so far has made them.
    One that wants them otherwise alters them afterwards: what these are decides what the old revisions mean."""

    @classmethod
    def create_noun(cls, operations: Operations, noun: str) -> None:
        operations.create_table(
            f"{noun}_current",
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("version", sa.Integer, nullable=False),
            sa.Column("born", sa.Integer, nullable=False),
            sa.Column("since", sa.Integer, nullable=False),
            sqlite_with_rowid=False,
        )
        history = f"{noun}_history"
        operations.create_table(
            history,
            sa.Column("valid_from", sa.Integer, primary_key=True),
            sa.Column("valid_to", sa.Integer),
            sa.Column("node", sa.Integer),
            sa.Column("born", sa.Integer, nullable=False),
            sa.Column("id", sa.Text, nullable=False),
            sa.Column("state", sa.Text, nullable=False),
        )
        operations.create_index(f"{history}_node", history, ["node"], sqlite_where=sa.text("node IS NOT NULL"))


context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
