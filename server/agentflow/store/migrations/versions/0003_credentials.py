"""What principals present to upstreams."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credential",
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("principal", sa.Text(), primary_key=True),
        sa.Column("server", sa.Text(), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double()),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("used", sa.Double()),
        sa.Column("holder", sa.String(32), nullable=False, server_default=""),
        sa.Column("held", sa.Double()),
    )
    op.create_table(
        "authorization",
        sa.Column("state", sa.LargeBinary(), primary_key=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
    )
    op.create_table(
        "oauth_client",
        sa.Column("server", sa.Text(), primary_key=True),
        sa.Column("issuer", sa.Text(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.Double()),
    )


def downgrade() -> None:
    op.drop_table("oauth_client")
    op.drop_table("authorization")
    op.drop_table("credential")
