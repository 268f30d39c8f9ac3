"""What an administrator does at the page, in a real browser, and what real clients then get."""

from __future__ import annotations

import json

import pytest
from chromium import Browser, Page
from gateway_process import wait_until

from tests.admin.page.conftest import HOSTILE, KEYS, SHOTS, Shop, sign_in

PAGES = {
    "overview": "/ui",
    "calls": "/ui/calls",
    "approvals": "/ui/approvals",
    "quarantine": "/ui/quarantine",
    "servers": "/ui/servers",
    "server": "/ui/servers/shop",
    "policies": "/ui/policies",
    "editor": "/ui/policies/edit",
    "keys": "/ui/keys",
    "credentials": "/ui/credentials",
    "audit": "/ui/audit",
    "missing": "/ui/nothing-here",
}


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
def test_a_held_call_goes_on_when_somebody_approves_it(browser: Browser, shop: Shop, javascript: bool) -> None:
    page = browser.page(javascript=javascript)
    sign_in(page, shop.gateway)
    answer = shop.client("refund", {"order": "o-1", "amount": 20, "note": "mail ada@example.com \u202egnp.exe"})
    page.go(shop.gateway.base + "/ui/approvals")
    for _ in range(200):
        if "calls refund" in page.text():
            break
        page.go(shop.gateway.base + "/ui/approvals")
    page.see("default/bot calls refund")
    page.see("Money leaves the house.")
    assert "ada@example.com" not in page.text(), "arguments are labelled"
    assert "<EMAIL" in page.text()
    assert "\u202e" not in page.text()
    assert "202e" in page.text().lower(), "what cannot be seen is spelled out"
    assert not answer.done()
    page.fill("article input[name=comment]", "looked at it")
    page.follow("button", "Approve")
    page.see("Approved: the call goes on.")
    assert answer.result(60) == "refund was called"
    page.go(shop.gateway.base + "/ui/approvals?state=all")
    page.see("looked at it")
    page.see("used")


def test_a_denied_call_does_not_reach_its_server(page: Page, shop: Shop) -> None:
    before = shop.called_for("refund")
    answer = shop.client("refund", {"order": "o-2"})
    page.go(shop.gateway.base + "/ui/approvals")
    page.until("document.body.innerText.includes('Show') || !!document.querySelector('article')", "a call to wait")
    page.go(shop.gateway.base + "/ui/approvals")
    page.follow("article button", "Deny")
    page.see("Denied: the call is refused.")
    assert answer.result(60).startswith("error:")
    assert shop.called_for("refund") == before


def test_the_queue_says_by_itself_that_another_call_waits(page: Page, shop: Shop) -> None:
    page.go(shop.gateway.base + "/ui/approvals")
    page.see("Nothing waits for approval.")
    answer = shop.client("refund", {"order": "o-3"})
    page.see("1 new call waits for approval.")
    page.follow("a", "Show")
    page.see("default/bot calls refund")
    page.follow("article button", "Deny")
    assert answer.result(60).startswith("error:")


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
def test_a_changed_tool_is_released_after_a_look_at_the_difference(
    browser: Browser, shop: Shop, javascript: bool
) -> None:
    page = browser.page(javascript=javascript)
    sign_in(page, shop.gateway)
    every = "every" if javascript else "each"
    shop.change("list_orders", description=f"Lists the orders\u200b of {every} customer. {HOSTILE}")
    wait_until(lambda: "list_orders" not in shop.listed(), "the tool to be held")
    page.go(shop.gateway.base + "/ui/quarantine")
    page.follow("tbody a", "list_orders")
    page.see("What changed, word by word")
    page.see("⟨U+200B⟩")
    assert page.value("document.querySelector('ins').innerText") != ""
    assert page.value("document.title") != "owned"
    assert page.value("document.querySelectorAll('main script, main img').length") == 0
    assert HOSTILE in page.text(), "it is shown as what it is"
    page.follow("button", "Approve: offer it")
    page.see("The definition is in force.")
    wait_until(lambda: "list_orders" in shop.listed(), "the tool to be offered")


def test_a_rejected_definition_stays_out(page: Page, shop: Shop) -> None:
    shop.change("purge_orders", description="Forgets every order.")
    wait_until(lambda: "purge_orders" not in shop.listed(), "the tool to be held")
    page.go(shop.gateway.base + "/ui/quarantine")
    page.follow("tbody a", "purge_orders")
    page.follow("button", "Reject: keep it out")
    page.see("rejected")
    assert "purge_orders" not in shop.listed()


def _forbid(page: Page, shop: Shop, tool: str) -> None:
    """Edit the data of the policy in force so that a tool is forbidden."""
    page.go(shop.gateway.base + "/ui/policies/edit")
    page.see("data.json")
    text = str(page.value("document.querySelector('.editor textarea').value"))
    data = json.loads(text)
    data["settings"]["forbidden"] = [f"shop/{tool}"]
    page.fill(".editor textarea", json.dumps(data, indent=2))


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
def test_a_policy_is_edited_tested_replayed_activated_and_rolled_back(
    browser: Browser, shop: Shop, javascript: bool
) -> None:
    page = browser.page(javascript=javascript)
    sign_in(page, shop.gateway)
    assert "result" in shop.call("list_orders", {"customer": "c-1"})
    _forbid(page, shop, "list_orders")
    page.follow("button", "Compile and test")
    page.see("it compiles, all tests pass")
    page.see('+    "forbidden": [')
    page.fill("#note", "no lists any more")
    page.follow("button", "Keep it, and go on to replay")
    page.see("The bundle is kept.")
    page.see("list_orders")
    assert "result" in shop.call("list_orders", {"customer": "c-2"}), "it decides nothing yet"
    page.follow("button", "Decide them again")
    for _ in range(100):
        if "decided again" in page.text():
            break
        page.go(page.address())
    page.see("newly denied")
    page.see("list_orders")
    page.screenshot(SHOTS / f"replay-{'scripts' if javascript else 'plain'}.png")
    page.follow("button", "Activate")
    page.see("The bundle is in force.")
    wait_until(lambda: "error" in shop.call("list_orders"), "the policy to decide")
    page.follow("button", "Roll back to what was before")
    page.see("The former policy is in force.")
    wait_until(lambda: "result" in shop.call("list_orders"), "the former policy to decide")
    page.go(shop.gateway.base + "/ui/audit?kind=policy")
    page.see("policy")


def test_a_broken_policy_is_refused_with_its_lines(page: Page, shop: Shop) -> None:
    page.go(shop.gateway.base + "/ui/policies/edit")
    page.follow("button.file", "agentflow/roles.rego")
    page.fill(".editor textarea", "package agentflow\n\nimport rego.v1\n\nbroken if {\n\tinput.principal ==\n}\n")
    page.follow("button", "Compile and test")
    page.see("it would be refused")
    page.see("roles.rego:")
    page.screenshot(SHOTS / "editor-refused.png")
    assert page.value("document.querySelector('.editor textarea').value.includes('broken if')"), "nothing is lost"
    page.follow("button.file", "data.json")
    page.follow("button.file", "agentflow/roles.rego")
    assert page.value("document.querySelector('.editor textarea').value.includes('broken if')"), "nor by looking around"
    page.follow("button", "Keep it, and go on to replay")
    page.until("!!document.querySelector('[role=alert]')", "a refusal")
    page.go(shop.gateway.base + "/ui/policies")
    assert "broken" not in page.text()


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
def test_a_key_is_made_shown_once_used_replaced_and_revoked(browser: Browser, shop: Shop, javascript: bool) -> None:
    page = browser.page(javascript=javascript)
    sign_in(page, shop.gateway)
    page.go(shop.gateway.base + "/ui/keys")
    page.fill("#principal", "invoice-bot")
    page.fill("#label", "Invoices " + HOSTILE[:30])
    page.follow("button", "Make the key")
    page.see("Copy it now")
    key = str(page.value("document.querySelector('#key').textContent"))
    assert "list_orders" in shop.listed(key)
    page.screenshot(SHOTS / "key-made.png")
    page.go(shop.gateway.base + "/ui/keys")
    assert key not in page.value("document.documentElement.outerHTML")
    page.follow("tbody tr:first-child td a")
    page.follow("button", "Replace")
    page.see("Copy it now")
    other = str(page.value("document.querySelector('#key').textContent"))
    assert other != key
    assert "list_orders" in shop.listed(other)
    page.go(shop.gateway.base + "/ui/keys")
    page.follow("tbody tr:first-child td a")
    page.follow("button", "Revoke this key")
    page.see("The key is revoked.")
    wait_until(lambda: "error" in shop.rpc("tools/list", {}, other), "the key to count no more")
    assert key not in shop.gateway.log_text()


def test_the_audit_log_is_searched_and_verified(page: Page, shop: Shop) -> None:
    shop.call("list_orders", {"customer": f"{HOSTILE} ada@example.com"})
    shop.call("nothing", {})
    page.go(shop.gateway.base + "/ui/audit")
    page.fill("#tool", "shop__list_orders")
    page.choose("#decision", "allow")
    page.follow("main button", "Search")
    page.see("shop__list_orders")
    assert "EMAIL × 1" in page.text()
    assert "unknown_name" not in page.text()
    page.follow("tbody a")
    page.see("Stages")
    for stage in ("limit", "validate", "screen", "decide"):
        page.see(stage)
    assert "ada@example.com" not in page.value("document.documentElement.outerHTML")
    assert page.value("document.title") != "owned"
    page.screenshot(SHOTS / "record.png")
    page.go(shop.gateway.base + "/ui/audit?refused=yes")
    page.see("unknown_name")
    page.follow("button", "Verify now")
    page.see("verified")
    page.see("vouched for by a signature")


def test_live_calls_appear_by_themselves_with_their_stages(page: Page, shop: Shop) -> None:
    page.go(shop.gateway.base + "/ui/calls")
    before = page.value("document.querySelectorAll('.calls details').length")
    shop.call("list_orders", {"customer": "c-9"})
    page.until(f"document.querySelectorAll('.calls details').length > {before}", "the call to appear")
    page.click(".calls summary", "list_orders")
    page.see("rehydrate")
    page.see("µs")
    page.screenshot(SHOTS / "calls-open.png")
    page.click("button", "Pause")
    page.see("Go on")


def test_a_server_is_switched_off_and_on(page: Page, shop: Shop) -> None:
    page.go(shop.gateway.base + "/ui/servers/shop")
    page.follow("button", "Switch off")
    page.see("shop is switched off.")
    wait_until(lambda: not shop.listed(), "its tools to go")
    page.follow("button", "Switch on")
    page.see("shop is switched on.")
    wait_until(lambda: "refund" in shop.listed(), "its tools to come back")


def test_everybody_sees_what_they_may_do_and_nothing_else(browser: Browser, shop: Shop) -> None:
    menus = {}
    for who in ("ops", "oper", "viewer", "acme-admin"):
        page = browser.page()
        sign_in(page, shop.gateway, who)
        menus[who] = page.value("[...document.querySelectorAll('nav.menu a')].map(a => a.innerText)")
        page.screenshot(SHOTS / f"overview-{who}.png")
    assert menus["ops"] == [
        "Overview", "Live calls", "Approvals", "Quarantine", "Servers", "Policies", "API keys", "Credentials",
        "Audit",
    ]  # fmt: skip
    assert "API keys" not in menus["oper"]
    assert {"Quarantine", "Policies", "Live calls", "Audit"} <= set(menus["oper"])
    assert not {"API keys", "Audit", "Live calls", "Policies", "Quarantine"} & set(menus["viewer"])
    assert not {"Policies", "Quarantine", "Servers"} & set(menus["acme-admin"])
    assert {"API keys", "Audit"} <= set(menus["acme-admin"])


def test_signing_out_ends_the_session_and_another_page_says_so(page: Page, browser: Browser, shop: Shop) -> None:
    page.click(".who summary")
    page.follow(".who button", "Sign out")
    page.see("You are signed out.")
    page.go(shop.gateway.base + "/ui/audit")
    page.see("Sign in")
    page.fill("#key", KEYS["ops"])
    page.follow("button.main")
    assert page.address().endswith("/ui/audit"), "back to what was asked for"


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no-scripts"])
def test_each_line_of_the_editor_has_its_number(browser: Browser, shop: Shop, javascript: bool) -> None:
    page = browser.page(javascript=javascript)
    sign_in(page, shop.gateway, path="/ui/policies/edit")
    lines = page.value("document.querySelector('.editor textarea').value.split('\\n').length")
    gutter = page.value("document.querySelector('.editor pre').textContent.trim().split('\\n')")
    assert gutter == [str(number) for number in range(1, lines + 1)]
    tops = page.value(
        "[document.querySelector('.editor pre'), document.querySelector('.editor textarea')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert abs(tops[0] - tops[1]) < 4, "they stand beside the lines"


@pytest.mark.parametrize("look", ["light", "dark", "small"])
def test_every_page_is_accessible_and_looks_right(browser: Browser, shop: Shop, look: str) -> None:
    """Screenshots are kept in .cache/screenshots: look at them."""
    for number in range(3):
        shop.call("list_orders", {"customer": f"c-{number}"})
        shop.call("nothing", {})
    answer = shop.client("refund", {"order": "o-7", "amount": 12.5, "note": f"ada@example.com wants it: {look}"})
    shop.change("purge_orders", description=f"Forgets every order, and tells nobody. ({look})")
    wait_until(lambda: "purge_orders" not in shop.listed(), "the tool to be held")
    page = browser.page(dark=look == "dark", width=360 if look == "small" else 1280, height=800)
    page.go(shop.gateway.base + "/ui")
    page.screenshot(SHOTS / f"sign-in-{look}.png")
    found = {"sign-in": page.audit()}
    sign_in(page, shop.gateway)
    for name, path in PAGES.items():
        page.go(shop.gateway.base + path)
        page.screenshot(SHOTS / f"{name}-{look}.png")
        found[name] = page.audit()
        wide = page.value("document.documentElement.scrollWidth")
        assert wide <= page.value("innerWidth"), f"{name} is {wide} wide"
    for name, path in (("held", "/ui/quarantine"), ("record", "/ui/audit?tool=shop__list_orders")):
        page.go(shop.gateway.base + path)
        page.follow("tbody a")
        page.screenshot(SHOTS / f"{name}-{look}.png")
        found[name] = page.audit()
    page.go(shop.gateway.base + "/ui/approvals")
    page.follow("article button", "Deny")
    assert answer.result(60).startswith("error:")
    assert {name: said for name, said in found.items() if said} == {}


def test_the_keyboard_reaches_the_content_first(page: Page, shop: Shop) -> None:
    page.go(shop.gateway.base + "/ui/servers")
    page.key("Tab", 9)
    assert page.value("document.activeElement.innerText") == "Skip to content"
    assert page.value("document.activeElement.getBoundingClientRect().left") >= 0, "it can be seen"
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
