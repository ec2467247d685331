"""The projections of prunes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    for noun in ("prune",):
        op.create_table(
            f"{noun}_current",
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("version", sa.Integer, nullable=False),
            sa.Column("born", sa.Integer, nullable=False),
            sa.Column("since", sa.Integer, nullable=False),
            sqlite_with_rowid=False,
        )
        op.create_table(
            f"{noun}_history",
            sa.Column("valid_from", sa.Integer, primary_key=True),
            sa.Column("valid_to", sa.Integer),
            sa.Column("node", sa.Integer),
            sa.Column("born", sa.Integer, nullable=False),
            sa.Column("id", sa.Text, nullable=False),
            sa.Column("state", sa.Text, nullable=False),
        )
        op.create_index(f"{noun}_history_node", f"{noun}_history", ["node"], sqlite_where=sa.text("node IS NOT NULL"))
