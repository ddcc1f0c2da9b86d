"""TEMPORARY while the models are being written: everything the models say, then the stored functions.

Replaced by the written-out migration before the first landing.
"""

import importlib
import pathlib
import pkgutil
from importlib import resources

from alembic import op

from cloudctl.kernel.database import APPLICATION_ROLE, Base

revision = "0001"
down_revision = None
APPEND_ONLY = ("audit_entries", "audit_links", "audit_seals", "ledger_entries")


def upgrade() -> None:
    for package in ("cloudctl.kernel", "tenancy", "provisioning", "cloudctl.api"):
        module = importlib.import_module(package)
        for found in pkgutil.iter_modules(module.__path__):
            if package == "cloudctl.kernel" or found.name in ("models", "idempotency"):
                importlib.import_module(f"{package}.{found.name}")
    connection = op.get_bind()
    connection.exec_driver_sql((resources.files("procrastinate.sql") / "schema.sql").read_text().replace("%", "%%"))
    Base.metadata.create_all(connection)
    for package in ("tenancy", "provisioning"):
        for file in sorted(pathlib.Path(str(resources.files(package))).glob("*.sql")):
            connection.exec_driver_sql(file.read_text().replace("%", "%%"))
    run = connection.exec_driver_sql
    run(f"GRANT USAGE ON SCHEMA public TO {APPLICATION_ROLE}")
    run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APPLICATION_ROLE}")
    run(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APPLICATION_ROLE}")
    for table in APPEND_ONLY:
        if table in Base.metadata.tables:
            run(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APPLICATION_ROLE}")


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
