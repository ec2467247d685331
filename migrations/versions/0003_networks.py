"""The projections of networks and of the endpoints that containers have on them."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two tables a noun, as all the others have."""
    op.create_noun("network")
    op.create_noun("endpoint")
