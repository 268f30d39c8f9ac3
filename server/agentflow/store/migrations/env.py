"""What Alembic runs for each command: the migrations, on the connection that `store.migrate` opened."""

from __future__ import annotations

from alembic import context

from agentflow.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
