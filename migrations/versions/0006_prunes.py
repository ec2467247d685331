"""The projections of prunes."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("prune")
