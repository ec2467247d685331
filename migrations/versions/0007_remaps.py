"""The projections of layers' copies with the owners of a user namespace."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("remap")
