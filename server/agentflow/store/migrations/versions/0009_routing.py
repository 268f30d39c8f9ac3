"""What the router learnt of models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_SUMS = ("at", "pulls", "reward", "square", "successes", "ratio", "costed", "latency", "timed", "quality", "judged")


def upgrade() -> None:
    op.create_table(
        "model_arm",
        sa.Column("scope", sa.String(200), primary_key=True),
        sa.Column("arm", sa.Text(), primary_key=True),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _SUMS),
        sa.Column("updated", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("model_arm")
