"""Uploaded bundles and the one in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_bundle",
        sa.Column("revision", sa.String(128), primary_key=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded", sa.Double(), nullable=False),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "policy_choice",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("revision", sa.String(128), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("chosen_by", sa.Text(), nullable=False),
        sa.Column("back_to", sa.Integer()),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("policy_choice")
    op.drop_table("policy_bundle")
