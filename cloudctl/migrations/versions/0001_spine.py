"""The spine: people and places, the ledger, requests, tenancies, pools, operations, events, the audit log."""

from importlib import resources

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cloudctl.kernel.database import APPLICATION_ROLE

revision = "0001"
down_revision = None

APPEND_ONLY = ("audit_entries", "audit_links", "audit_seals", "ledger_entries")
SEQUENCES = ("operations_number_seq", "request_numbers")

EMPTY = """
DO $$ DECLARE command text; BEGIN
    FOREACH command IN ARRAY ARRAY(
        SELECT format('DROP TABLE %I CASCADE', tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        UNION ALL
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT format('DROP SEQUENCE IF EXISTS %I', relname) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
        UNION ALL
        SELECT format('DROP TYPE IF EXISTS %I CASCADE', typname) FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'c') AND typname LIKE 'procrastinate%'
    ) LOOP
        EXECUTE command;
    END LOOP;
END $$
"""


def upgrade() -> None:
    connection = op.get_bind()
    queue = (resources.files("cloudctl.migrations") / "procrastinate-3.10.0.sql").read_text()
    connection.exec_driver_sql(queue.replace("%", "%%"))
    for sequence in SEQUENCES:
        op.execute(f"CREATE SEQUENCE {sequence}")
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(length=30), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("room", sa.BigInteger(), sa.Computed('"limit" - held - used', persisted=True), nullable=False),
        sa.CheckConstraint("held >= 0 AND used >= 0", name=op.f("ck_accounts_not_negative")),
        sa.CheckConstraint("room >= 0", name=op.f("ck_accounts_within_limit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("owner", "resource", name=op.f("uq_accounts_owner_resource")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("department", sa.String(), nullable=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("seen", sa.String(), nullable=True),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("result IN ('ok', 'refused', 'failed')", name=op.f("ck_audit_entries_result")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_actor_id", "audit_entries", ["actor", "id"], unique=False)
    op.create_index("ix_audit_entries_department_id", "audit_entries", ["department", "id"], unique=False)
    op.create_index("ix_audit_entries_object_id", "audit_entries", ["object", "id"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_seals")),
    )
    op.create_table(
        "claim_lines",
        sa.Column("claim_id", sa.String(length=30), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_claim_lines_not_negative")),
        sa.PrimaryKeyConstraint("claim_id", "account_id", name=op.f("pk_claim_lines")),
    )
    op.create_index(op.f("ix_claim_lines_account_id"), "claim_lines", ["account_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("holder", sa.String(length=30), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    op.create_index(op.f("ix_claims_holder"), "claims", ["holder"], unique=False)
    op.create_table(
        "departments",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(length=30), nullable=True),
        sa.Column("path", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["departments.id"], name=op.f("fk_departments_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departments")),
        sa.UniqueConstraint("code", name=op.f("uq_departments_code")),
    )
    op.create_index(op.f("ix_departments_parent_id"), "departments", ["parent_id"], unique=False)
    op.create_index("ix_departments_path", "departments", ["path"], unique=False, postgresql_using="gin")
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(length=30), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("uq_events_subject_sequence", "events", ["subject", "sequence"], unique=True)
    op.create_table(
        "evidence",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(length=30), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_evidence")),
    )
    op.create_table(
        "idempotency_records",
        sa.Column("caller", sa.String(length=30), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("etag", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "route", "key", name=op.f("pk_idempotency_records")),
    )
    op.create_index("ix_idempotency_records_created_at", "idempotency_records", ["created_at"], unique=False)
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("claim_id", sa.String(), nullable=True),
        sa.Column("limit_change", sa.BigInteger(), nullable=False),
        sa.Column("held_change", sa.BigInteger(), nullable=False),
        sa.Column("used_change", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
    )
    op.create_index(op.f("ix_ledger_entries_account_id"), "ledger_entries", ["account_id"], unique=False)
    op.create_index(op.f("ix_ledger_entries_claim_id"), "ledger_entries", ["claim_id"], unique=False)
    op.create_table(
        "operations",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column(
            "number", sa.BigInteger(), server_default=sa.text("nextval('operations_number_seq')"), nullable=False
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(length=30), nullable=False),
        sa.Column("owner", sa.String(length=30), nullable=False),
        sa.Column("steps", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("arguments", postgresql.JSONB(), nullable=False),
        sa.Column("memory", postgresql.JSONB(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel", postgresql.JSONB(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(op.f("ix_operations_owner"), "operations", ["owner"], unique=False)
    op.create_index("ix_operations_state", "operations", ["state"], unique=False)
    op.create_index("ix_operations_subject_number", "operations", ["subject", "number"], unique=False)
    op.create_index(
        "uq_operations_one_at_a_time",
        "operations",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("state IN ('running', 'parked')"),
    )
    op.create_table(
        "pools",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("driver", sa.String(), nullable=False),
        sa.Column("connection", postgresql.JSONB(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("architecture", sa.String(), nullable=False),
        sa.Column("abi", sa.String(), nullable=False),
        sa.Column("cpu_family", sa.String(), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("traits", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("overcommit", postgresql.JSONB(), nullable=False),
        sa.Column("reserve", postgresql.JSONB(), nullable=False),
        sa.Column("inventory", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
        sa.UniqueConstraint("name", name=op.f("uq_pools_name")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )
    op.create_table(
        "audit_links",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["audit_entries.id"], name=op.f("fk_audit_links_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_links")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_links_position")),
    )
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.String(length=30), nullable=False),
        sa.Column("department_id", sa.String(length=30), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("granted_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('clerk', 'approver')", name=op.f("ck_memberships_role")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_memberships_department_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_memberships_user_id")),
        sa.PrimaryKeyConstraint("user_id", "department_id", "role", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_department_id"), "memberships", ["department_id"], unique=False)
    op.create_table(
        "operation_attempts",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("operation_id", sa.String(length=30), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("direction", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.id"], name=op.f("fk_operation_attempts_operation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation_attempts")),
    )
    op.create_index(op.f("ix_operation_attempts_operation_id"), "operation_attempts", ["operation_id"], unique=False)
    op.create_table(
        "platform_roles",
        sa.Column("user_id", sa.String(length=30), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("granted_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('operator', 'security', 'auditor')", name=op.f("ck_platform_roles_role")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_platform_roles_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_platform_roles")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("department_id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("funding", sa.String(), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("level BETWEEN 1 AND 4", name=op.f("ck_projects_level")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_projects_department_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("code", name=op.f("uq_projects_code")),
    )
    op.create_index(op.f("ix_projects_department_id"), "projects", ["department_id"], unique=False)
    op.create_table(
        "servers",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("pool_id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("inventory", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.id"], name=op.f("fk_servers_pool_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
        sa.UniqueConstraint("pool_id", "name", name=op.f("uq_servers_pool_id_name")),
    )
    op.create_index(op.f("ix_servers_pool_id"), "servers", ["pool_id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("user_id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("department_id", sa.String(length=30), nullable=False),
        sa.Column("project_id", sa.String(length=30), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("submitted_by", sa.String(length=30), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.Column("missing", postgresql.ARRAY(sa.String()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_requests_department_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_requests_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("number", name=op.f("uq_requests_number")),
    )
    op.create_index(op.f("ix_requests_department_id"), "requests", ["department_id"], unique=False)
    op.create_index(op.f("ix_requests_project_id"), "requests", ["project_id"], unique=False)
    op.create_index(op.f("ix_requests_state"), "requests", ["state"], unique=False)
    op.create_table(
        "tenancies",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("project_id", sa.String(length=30), nullable=False),
        sa.Column("department_id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("size", postgresql.JSONB(), nullable=False),
        sa.Column("approved_size", postgresql.JSONB(), nullable=False),
        sa.Column("architectures", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("keys", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("pool_id", sa.String(), nullable=True),
        sa.Column("server_id", sa.String(), nullable=True),
        sa.Column("limits", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("access", sa.String(), nullable=True),
        sa.Column("erasure", postgresql.JSONB(), nullable=True),
        sa.Column("term_days", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erase_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_tenancies_department_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_tenancies_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenancies")),
    )
    op.create_index(op.f("ix_tenancies_department_id"), "tenancies", ["department_id"], unique=False)
    op.create_index(op.f("ix_tenancies_ends_at"), "tenancies", ["ends_at"], unique=False)
    op.create_index(op.f("ix_tenancies_erase_at"), "tenancies", ["erase_at"], unique=False)
    op.create_index(op.f("ix_tenancies_pool_id"), "tenancies", ["pool_id"], unique=False)
    op.create_index(op.f("ix_tenancies_project_id"), "tenancies", ["project_id"], unique=False)
    op.create_index(op.f("ix_tenancies_server_id"), "tenancies", ["server_id"], unique=False)
    op.create_index(op.f("ix_tenancies_state"), "tenancies", ["state"], unique=False)
    op.create_index(
        "uq_tenancies_project_id_name",
        "tenancies",
        ["project_id", "name"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('failed', 'withdrawn', 'erased')"),
    )
    op.create_table(
        "approval_steps",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("request_id", sa.String(length=30), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("department_id", sa.String(length=30), nullable=False),
        sa.Column("item_ids", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.Column("days_spent", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("delegate_id", sa.String(length=30), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_provisional", sa.Boolean(), nullable=False),
        sa.Column("light", sa.String(), nullable=False),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["delegate_id"], ["users.id"], name=op.f("fk_approval_steps_delegate_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_approval_steps_department_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_approval_steps_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_steps")),
    )
    op.create_index(op.f("ix_approval_steps_department_id"), "approval_steps", ["department_id"], unique=False)
    op.create_index(op.f("ix_approval_steps_due_at"), "approval_steps", ["due_at"], unique=False)
    op.create_index(op.f("ix_approval_steps_request_id"), "approval_steps", ["request_id"], unique=False)
    op.create_index(op.f("ix_approval_steps_state"), "approval_steps", ["state"], unique=False)
    op.create_table(
        "attachments",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("request_id", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_attachments_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    op.create_index(op.f("ix_attachments_request_id"), "attachments", ["request_id"], unique=False)
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("tenancy_id", sa.String(length=30), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("port", sa.BigInteger(), nullable=True),
        sa.Column("reported", sa.Boolean(), nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenancy_id"], ["tenancies.id"], name=op.f("fk_endpoints_tenancy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint(
            "tenancy_id",
            "host",
            "port",
            name=op.f("uq_endpoints_tenancy_id_host_port"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_endpoints_tenancy_id"), "endpoints", ["tenancy_id"], unique=False)
    op.create_table(
        "request_items",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("request_id", sa.String(length=30), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("spec", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("automatic", sa.String(), nullable=True),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_request_items_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_items")),
    )
    op.create_index(op.f("ix_request_items_request_id"), "request_items", ["request_id"], unique=False)
    op.create_index(op.f("ix_request_items_state"), "request_items", ["state"], unique=False)
    op.create_index(op.f("ix_request_items_subject"), "request_items", ["subject"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(length=30), nullable=False),
        sa.Column("step_id", sa.String(length=30), nullable=False),
        sa.Column("item_id", sa.String(length=30), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("changes", postgresql.JSONB(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(length=30), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["request_items.id"], name=op.f("fk_decisions_item_id")),
        sa.ForeignKeyConstraint(["step_id"], ["approval_steps.id"], name=op.f("fk_decisions_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_item_id"), "decisions", ["item_id"], unique=False)
    op.create_index(op.f("ix_decisions_step_id"), "decisions", ["step_id"], unique=False)
    for grant in (
        "USAGE ON SCHEMA public",
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",
        "USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public",
    ):
        op.execute(f"GRANT {grant} TO {APPLICATION_ROLE}")
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APPLICATION_ROLE}")


def downgrade() -> None:
    """Take everything away but alembic's own table: the queue and the stored functions too."""
    op.execute(EMPTY)
