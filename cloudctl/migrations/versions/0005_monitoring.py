"""Monitoring: alerts that came back, silences, and the role of the programs that look."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

_NAME = "ck_platform_roles_role"


def upgrade() -> None:
    op.drop_constraint(op.f(_NAME), "platform_roles")
    op.create_check_constraint(op.f(_NAME), "platform_roles", "role IN ('operator', 'security', 'auditor', 'monitor')")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "alerts",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("subject", sa.String(30), nullable=True),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.Column("seen_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_alerts")),
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("matchers", postgresql.JSONB(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("starts_at", moment, nullable=False),
        sa.Column("ends_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_index(op.f("ix_silences_ends_at"), "silences", ["ends_at"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON alerts, silences TO cloudctl_app")


def downgrade() -> None:
    op.drop_table("silences")
    op.drop_table("alerts")
    op.execute("DELETE FROM platform_roles WHERE role = 'monitor'")
    op.drop_constraint(op.f(_NAME), "platform_roles")
    op.create_check_constraint(op.f(_NAME), "platform_roles", "role IN ('operator', 'security', 'auditor')")
