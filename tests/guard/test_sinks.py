"""What a tool does, judged by its name and annotations."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.guard.sinks import role_of, role_with, shows_others_words


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("send_email", "send"),
        ("GmailSendEmail", "send"),
        ("email", "send"),
        ("get_email", "read"),
        ("GmailSearchEmails", "read"),
        ("http_get", "http"),
        ("fetch_page", "http"),
        ("transfer_money", "pay"),
        ("send_money", "pay"),
        ("VenmoWithdrawMoney", "pay"),
        ("AugustSmartLockGrantGuestAccess", "grant"),
        ("AugustSmartLockUnlockDoor", "control"),
        ("delete_file", "delete"),
        ("TerminalExecute", "execute"),
        ("post_message", "post"),
        ("create_note", "write"),
        ("frobnicate", "write"),
        ("enviar_correo", "send"),
        ("überweisungErstellen", "write"),
        ("geld_überweisen", "pay"),
        ("supprimer_fichier", "delete"),
        ("upsert_deal", "change"),
        ("addCalendarEventParticipants", "grant"),
        ("authorize_ingress", "grant"),
    ],
)
def test_the_name_tells(name: str, role: str) -> None:
    assert role_of(name, {}, trusted=False) == role


@pytest.mark.parametrize(
    ("name", "hints", "trusted", "role"),
    [
        ("frobnicate", {"readOnlyHint": True}, False, "read"),
        ("send_email", {"readOnlyHint": True}, False, "send"),  # an untrusted server's word against the name
        ("send_email", {"readOnlyHint": True}, True, "read"),
        ("fetch_page", {"readOnlyHint": True}, True, "http"),  # fetching tells the host, whatever it changes
        ("get_item", {"readOnlyHint": False}, True, "read"),
    ],
)
def test_a_hint_is_believed_of_trusted_servers(name: str, hints: dict[str, Any], trusted: bool, role: str) -> None:
    assert role_of(name, hints, trusted) == role


def test_some_tools_show_what_outsiders_wrote() -> None:
    assert shows_others_words("read_inbox")
    assert not shows_others_words("get_balance")


@pytest.mark.parametrize(
    ("server", "tool", "others"),
    [
        ("websearch", "query", True),
        ("issues", "get", True),
        ("gmail", "list", True),
        ("gmail", "list_contacts", False),
        ("wiki", "get_page", False),
        ("web", "get_page", True),
        ("crm", "list", False),
    ],
)
def test_the_name_of_a_server_tells_as_well(server: str, tool: str, others: bool) -> None:
    assert shows_others_words(tool, server=server) is others


def test_a_tool_for_everything_does_what_its_arguments_say() -> None:
    assert role_with("send", [("domain", "lock"), ("service", "unlock")]) == "control"
    assert role_with("send", [("service", "weather")]) == "send"
    assert role_with("send", [("text", "unlock")]) == "send"
