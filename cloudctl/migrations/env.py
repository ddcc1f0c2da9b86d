"""How alembic reaches the database: online only, all revisions in one transaction.

Stored functions are not frozen in a revision: whoever arrives at the newest one gets them as they are now.
"""

from importlib import resources

from alembic import context
from sqlalchemy import create_engine, pool

ROOMS = ("cloudctl.kernel", "tenancy")

engine = create_engine(
    context.config.attributes["url"].replace("postgresql://", "postgresql+psycopg://", 1), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
        if context.get_context().get_current_heads() == tuple(context.script.get_heads()):
            for room in ROOMS:
                for file in sorted(resources.files(room).iterdir(), key=str):
                    if file.name.endswith(".sql"):
                        connection.exec_driver_sql(file.read_text().replace("%", "%%"))
