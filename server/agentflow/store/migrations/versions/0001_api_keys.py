"""Callers known by a key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires", sa.Double()),
        sa.Column("used", sa.Double()),
        sa.Column("revoked", sa.Double()),
        sa.Column("revoked_by", sa.Text(), nullable=False, server_default=""),
        sa.Column("replaces", sa.String(32)),
        sa.Column("changed", sa.Integer(), nullable=False),
    )
    op.create_index("api_key_principal", "api_key", ["tenant", "principal"])
    op.create_index("api_key_replaces", "api_key", ["replaces"])
    op.create_index("api_key_changed", "api_key", ["changed"])


def downgrade() -> None:
    op.drop_table("api_key")
