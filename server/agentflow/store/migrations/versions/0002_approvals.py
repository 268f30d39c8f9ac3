"""Held calls and what was said about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("surface", sa.String(64), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("arguments", sa.String(128), nullable=False),
        sa.Column("revision", sa.String(128), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("settled", sa.Double()),
        sa.Column("call", sa.String(64), nullable=False, server_default=""),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )
    op.create_index("approval_binding", "approval", ["tenant", "principal", "arguments", "state"])
    op.create_index("approval_state", "approval", ["state", "created"])
    op.create_index("approval_expires", "approval", ["state", "expires"])
    op.create_table(
        "approval_vote",
        sa.Column("approval", sa.String(64), sa.ForeignKey("approval.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("voter", sa.Text(), primary_key=True),
        sa.Column("approve", sa.Boolean(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False, server_default=""),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("approval_vote")
    op.drop_table("approval")
