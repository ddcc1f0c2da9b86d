"""Servers that were enrolled: the host key by which each is known, and what it said of itself."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("servers", sa.Column("host_key", sa.String(), nullable=True))
    op.add_column("servers", sa.Column("facts", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False))


def downgrade() -> None:
    op.drop_column("servers", "facts")
    op.drop_column("servers", "host_key")
