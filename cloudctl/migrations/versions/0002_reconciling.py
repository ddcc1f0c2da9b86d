"""Reconciling: what was found of a pool, and tenancies that are not to be repaired for a while."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("pools", sa.Column("condition", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("tenancies", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenancies", sa.Column("held_because", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("tenancies", "held_because")
    op.drop_column("tenancies", "held_until")
    op.drop_column("pools", "condition")
