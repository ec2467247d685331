"""The projections of builds and of their cached steps."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("build")
    op.create_noun("cache")
