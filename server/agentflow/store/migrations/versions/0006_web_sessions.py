"""People at the page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "web_session",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sa.Column("principal", sa.JSON(), nullable=False),
        sa.Column("csrf", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("web_session")
