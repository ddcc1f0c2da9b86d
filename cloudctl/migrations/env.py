"""How alembic reaches the database: online only, all revisions in one transaction."""

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(
    context.config.attributes["url"].replace("postgresql://", "postgresql+psycopg://", 1), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
