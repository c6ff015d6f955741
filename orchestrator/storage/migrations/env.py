"""Alembic's environment: runs the revisions on the connection that ``migrations.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from orchestrator.storage.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    # SQLite cannot alter a constraint: a changed table is made anew and its rows are copied.
    render_as_batch=True,
)
context.run_migrations()
