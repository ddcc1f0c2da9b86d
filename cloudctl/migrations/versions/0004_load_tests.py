"""Load tests: targets, campaigns, their runs, and times in which nothing is tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cloudctl.kernel.database import APPLICATION_ROLE

revision = "0004"
down_revision = "0003"

REF = sa.String(30)
JSON = postgresql.JSONB()
MOMENT = sa.DateTime(timezone=True)
TABLES = ("targets", "campaigns", "runs", "freezes")


def upgrade() -> None:
    op.create_table(
        "targets",
        sa.Column("id", REF, nullable=False),
        sa.Column("department_id", REF, nullable=False),
        sa.Column("project_id", REF, nullable=False),
        sa.Column("tenancy_id", REF, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("contacts", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("ceiling", sa.Float(), nullable=False),
        sa.Column("production", sa.Boolean(), nullable=False),
        sa.Column("blackouts", JSON, nullable=False),
        sa.Column("depends", JSON, nullable=False),
        sa.Column("software", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("proven_at", MOMENT, nullable=True),
        sa.Column("capacity", JSON, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_targets")),
    )
    op.create_index(op.f("ix_targets_department_id"), "targets", ["department_id"])
    op.create_index(op.f("ix_targets_tenancy_id"), "targets", ["tenancy_id"])
    op.create_table(
        "campaigns",
        sa.Column("id", REF, nullable=False),
        sa.Column("target_id", REF, nullable=False),
        sa.Column("department_id", REF, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("journeys", JSON, nullable=False),
        sa.Column("profile", JSON, nullable=False),
        sa.Column("level", JSON, nullable=False),
        sa.Column("peak", JSON, nullable=True),
        sa.Column("forecast", sa.Float(), nullable=True),
        sa.Column("generators", sa.BigInteger(), nullable=False),
        sa.Column("cron", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("next_run_at", MOMENT, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("submitted_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=op.f("fk_campaigns_target_id_targets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(op.f("ix_campaigns_department_id"), "campaigns", ["department_id"])
    op.create_index(op.f("ix_campaigns_target_id"), "campaigns", ["target_id"])
    op.create_index(
        "ix_campaigns_next_run_at", "campaigns", ["next_run_at"], postgresql_where=sa.text("state = 'ready'")
    )
    op.create_table(
        "runs",
        sa.Column("id", REF, nullable=False),
        sa.Column("campaign_id", REF, nullable=False),
        sa.Column("target_id", REF, nullable=False),
        sa.Column("department_id", REF, nullable=False),
        sa.Column("operation_id", sa.String(), nullable=True),
        sa.Column("order", JSON, nullable=True),
        sa.Column("progress", JSON, nullable=True),
        sa.Column("stop", JSON, nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", JSON, nullable=True),
        sa.Column("result", JSON, nullable=True),
        sa.Column("proposal", JSON, nullable=True),
        sa.Column("size", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_runs_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name=op.f("fk_runs_target_id_targets")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    for column in ("campaign_id", "target_id", "department_id"):
        op.create_index(op.f(f"ix_runs_{column}"), "runs", [column])
    op.create_table(
        "freezes",
        sa.Column("id", REF, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APPLICATION_ROLE}")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
