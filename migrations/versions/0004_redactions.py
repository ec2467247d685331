"""The projections of documents that have been redacted."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("document")
