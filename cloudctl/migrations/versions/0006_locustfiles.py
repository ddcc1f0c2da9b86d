"""Locustfiles: code that operators answer for, which a campaign may name instead of journeys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cloudctl.kernel.database import APPLICATION_ROLE

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "locustfiles",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("department_id", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("retired_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locustfiles")),
    )
    op.create_index(op.f("ix_locustfiles_department_id"), "locustfiles", ["department_id"])
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON locustfiles TO {APPLICATION_ROLE}")
    op.alter_column("campaigns", "journeys", existing_type=postgresql.JSONB(), nullable=True)
    op.add_column("campaigns", sa.Column("locustfile_id", sa.String(), nullable=True))
    op.create_foreign_key(
        op.f("fk_campaigns_locustfile_id_locustfiles"), "campaigns", "locustfiles", ["locustfile_id"], ["id"]
    )
    op.create_index(op.f("ix_campaigns_locustfile_id"), "campaigns", ["locustfile_id"])


def downgrade() -> None:
    """Campaigns by locustfile go with their runs: without the code nobody could say what they tried."""
    op.execute("DELETE FROM runs USING campaigns WHERE campaigns.id = runs.campaign_id AND locustfile_id IS NOT NULL")
    op.execute("DELETE FROM campaigns WHERE locustfile_id IS NOT NULL")
    op.drop_column("campaigns", "locustfile_id")
    op.alter_column("campaigns", "journeys", existing_type=postgresql.JSONB(), nullable=False)
    op.drop_table("locustfiles")
