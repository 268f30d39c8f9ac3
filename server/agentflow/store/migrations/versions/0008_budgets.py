"""What models may cost and have cost: budgets, reservations, usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _budgets()
    _counted()
    _reservations()
    _usage()


def _budgets() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("period", sa.String(16), nullable=False),
        sa.Column("nano", sa.BigInteger()),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("tokens_per_minute", sa.Integer()),
        sa.Column("max_concurrent", sa.Integer()),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
    )
    op.create_index("budget_name", "budget", ["tenant", "name"], unique=True)


def _counted() -> None:
    op.create_table(
        "budget_spend",
        sa.Column("budget", sa.String(32), sa.ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("period", sa.Text(), primary_key=True),
        sa.Column("starts", sa.Double(), nullable=False),
        sa.Column("ends", sa.Double()),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("warned", sa.Integer(), nullable=False),
    )
    op.create_index("budget_spend_starts", "budget_spend", ["starts"])
    op.create_table(
        "budget_quota",
        sa.Column("budget", sa.String(32), sa.ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("requests", sa.Double()),
        sa.Column("tokens", sa.Double()),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
    )
    op.create_table(
        "budget_alert",
        sa.Column("budget", sa.String(32), sa.ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tenant", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("period", sa.Text(), primary_key=True),
        sa.Column("level", sa.Integer(), primary_key=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
    )
    op.create_index("budget_alert_time", "budget_alert", ["time"])


def _reservations() -> None:
    op.create_table(
        "reservation_holder",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
    )
    op.create_table(
        "model_reservation",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("made", sa.Double(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.JSON(), nullable=False),
        sa.Column("charge", sa.JSON(), nullable=False),
    )
    op.create_index("model_reservation_holder", "model_reservation", ["holder"])


def _usage() -> None:
    op.create_table(
        "model_usage",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("prompt", sa.BigInteger(), nullable=False),
        sa.Column("completion", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("saved", sa.BigInteger(), nullable=False),
        sa.Column("latency", sa.Double(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("from_cache", sa.Boolean(), nullable=False),
    )
    op.create_index("model_usage_time", "model_usage", ["time"])
    op.create_index("model_usage_tenant", "model_usage", ["tenant", "time"])
    op.create_index("model_usage_run", "model_usage", ["run"])


def downgrade() -> None:
    op.drop_table("model_usage")
    op.drop_table("model_reservation")
    op.drop_table("reservation_holder")
    op.drop_table("budget_alert")
    op.drop_table("budget_quota")
    op.drop_table("budget_spend")
    op.drop_table("budget")
