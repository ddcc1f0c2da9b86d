"""Engines elsewhere: which pool a campaign's engines run on, and what they and their runs say to each other."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cloudctl.kernel.database import APPLICATION_ROLE

revision = "0007"
down_revision = "0006"

REF = sa.String(30)
UNLOGGED = ["UNLOGGED"]


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("on", sa.String(), nullable=True))
    op.create_table(
        "crews",
        sa.Column("run_id", REF, nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_crews")),
        prefixes=UNLOGGED,
    )
    op.create_table(
        "crew_members",
        sa.Column("id", REF, nullable=False),
        sa.Column("run_id", REF, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("heard", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("over", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["crews.run_id"], name=op.f("fk_crew_members_run_id_crews"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crew_members")),
        prefixes=UNLOGGED,
    )
    op.create_index(op.f("ix_crew_members_run_id"), "crew_members", ["run_id"])
    op.create_table(
        "crew_lines",
        sa.Column("member_id", REF, nullable=False),
        sa.Column("command", sa.Boolean(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("said", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["crew_members.id"], name=op.f("fk_crew_lines_member_id_crew_members"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("member_id", "command", "number", name=op.f("pk_crew_lines")),
        prefixes=UNLOGGED,
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON crews, crew_members, crew_lines TO {APPLICATION_ROLE}")


def downgrade() -> None:
    for table in ("crew_lines", "crew_members", "crews"):
        op.drop_table(table)
    op.drop_column("campaigns", "on")
