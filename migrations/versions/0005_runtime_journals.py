"""The projections of journals of docket-runtime that are taken into the log."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("runtime")
