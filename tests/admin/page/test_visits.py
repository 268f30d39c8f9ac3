"""What the page refuses, and what every answer of it carries: over bare HTTP, as an attacker would speak it."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from admin.test_credentials import stored
from gateway_process import Gateway, free_port, running_gateway, wait_until

from agentflow.admin.page.render import STATIC, micros, pretty, render, short, span, static_file, visible
from agentflow.admin.page.visits import ours
from agentflow.errors import Forbidden
from agentflow.identity.credentials import Owner

KEY = "ops-key-0123456789abcdef"
VIEWER = "viewer-key-0123456789abcdef"
OPS = {"id": "ops", "key": "${OPS_KEY}", "kind": "user", "roles": ["admin"]}
CHANGING = Path(__file__).parents[2] / "security" / "changing_server.py"
PAGE = Path(__file__).parents[3] / "server" / "agentflow" / "admin" / "page"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def cookie(self) -> str:
        return self.headers.get("set-cookie", "").partition(";")[0]

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([\w-]+)"', self.text)
        return found[1] if found else ""


@dataclass
class Wire:
    """A gateway, and requests to it with exactly the headers given."""

    gateway: Gateway

    @property
    def host(self) -> str:
        return self.gateway.base.removeprefix("http://")

    def ask(self, method: str, path: str, body: bytes | dict[str, str] = b"", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = urlencode(body).encode()
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
        connection.close()
        return found

    def post(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        """As a browser sends a form of ours."""
        return self.ask("POST", path, form, **{"origin": self.gateway.base, "sec_fetch_site": "same-origin", **headers})

    def sign_in(self, key: str = KEY, **headers: str) -> str:
        answer = self.post("/ui/sign-in", {"key": key, "next": ""}, **headers)
        assert answer.status == 303, answer.text
        return answer.cookie

    def csrf(self, cookie: str) -> str:
        found = self.ask("GET", "/ui/keys", cookie=cookie).csrf
        assert found
        return found


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    keys = [
        OPS,
        {"id": "viewer", "key": "${VIEWER_KEY}", "kind": "user", "roles": ["viewer"]},
    ]
    config = {"auth": {"api_keys": keys}, "flow": {"enabled": False}, "admin": {"private_servers": ["127.0.0.1"]}}
    env = {"OPS_KEY": KEY, "VIEWER_KEY": VIEWER}
    with running_gateway(config, tmp_path_factory.mktemp("wire"), env=env) as gateway:
        yield Wire(gateway)


def test_a_stranger_sees_nothing_but_the_way_to_sign_in(wire: Wire) -> None:
    for path in ("/ui", "/ui/audit", "/ui/keys", "/ui/policies/edit", "/ui/audit/" + "0" * 32):
        answer = wire.ask("GET", path)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/ui/sign-in")
        assert answer.text == ""
    assert wire.ask("GET", "/ui/figures", hx_request="true").status == 401


def test_a_key_or_token_in_a_header_opens_no_page(wire: Wire) -> None:
    assert wire.ask("GET", "/ui", authorization=f"Bearer {KEY}").status == 303


def test_every_answer_keeps_other_sites_out(wire: Wire) -> None:
    cookie = wire.sign_in()
    for path in ("/ui", "/ui/sign-in", "/ui/keys", "/ui/nothing", "/ui/audit?since=never", "/ui/static/page.css"):
        headers = wire.ask("GET", path, cookie=cookie).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        for part in ("form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "connect-src 'self'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
    assert "immutable" in wire.ask("GET", "/ui/static/page.css?v=1").headers["cache-control"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", "/ui", {}), ("DELETE", "/ui/keys", {}), ("POST", "/ui/static/page.css", {}),
        ("GET", "/ui/sign-out", {}), ("PUT", "/api/v1/keys", {}),
        ("GET", "/ui", {"host": "evil.example"}), ("GET", "/ui", {"origin": "https://evil.example"}),
        ("POST", "/ui/keys", {"origin": "http://localhost:1"}), ("GET", "/api/v1/nothing", {}),
        ("GET", "/api/v1/openapi.json", {}), ("GET", "/ui/", {}), ("GET", "/uix", {"authorization": f"Bearer {KEY}"}),
    ],
)  # fmt: skip
def test_so_does_every_refusal(wire: Wire, method: str, path: str, headers: dict[str, str]) -> None:
    answer = wire.ask(method, path, **headers)
    if path == "/uix":
        assert answer.status == 404
        return
    assert answer.status >= 300
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_no_template_has_a_script_a_style_or_an_address_of_elsewhere() -> None:
    for path in sorted(PAGE.glob("templates/*.html")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script(?! src=\"{{ static\()", text), path.name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals=.js", text), path.name
        assert not re.search(r"(?:href|src|action|hx-get|hx-post)=\"(?!/ui|#|{{ static|{{ path)", text), path.name
        assert "|safe" not in text and "Markup" not in text, path.name
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.S):
            assert "token()" in form or path.name == "sign_in.html", path.name
    for name in STATIC:
        code = static_file(name).decode("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in code and "https://" not in code, name


def test_the_cookie_is_for_the_browser_alone(wire: Wire) -> None:
    answer = wire.post("/ui/sign-in", {"key": KEY, "next": ""})
    said = answer.headers["set-cookie"]
    assert re.fullmatch(r"agentflow_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", said)
    behind = wire.post("/ui/sign-in", {"key": KEY, "next": ""}, x_forwarded_proto="https").headers["set-cookie"]
    assert re.fullmatch(r"__Host-agentflow_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Secure", behind)


def test_signing_in_ends_the_session_that_was_there(wire: Wire) -> None:
    first = wire.sign_in()
    second = wire.sign_in(cookie=first)
    assert wire.ask("GET", "/ui", cookie=first).status == 303
    assert wire.ask("GET", "/ui", cookie=second).status == 200


def test_a_planted_cookie_is_never_taken_over(wire: Wire) -> None:
    planted = "agentflow_session=" + "A" * 43
    fresh = wire.sign_in(cookie=planted)
    assert fresh != planted
    assert wire.ask("GET", "/ui", cookie=planted).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {},
    ],
)
def test_no_other_site_signs_anybody_in_or_changes_anything(wire: Wire, headers: dict[str, str]) -> None:
    answer = wire.ask("POST", "/ui/sign-in", {"key": KEY, "next": ""}, **headers)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    cookie = wire.sign_in()
    form = {"csrf": wire.csrf(cookie), "principal": "planted"}
    assert wire.ask("POST", "/ui/keys", form, cookie=cookie, **headers).status == 403
    assert "planted" not in wire.ask("GET", "/ui/keys", cookie=cookie).text


def test_a_form_without_the_token_of_its_session_changes_nothing(wire: Wire) -> None:
    one, two = wire.sign_in(), wire.sign_in()
    for token in ("", "x", wire.csrf(two), wire.csrf(one) + "x"):
        answer = wire.post("/ui/keys", {"csrf": token, "principal": "planted"}, cookie=one)
        assert answer.status == 403
    assert "planted" not in wire.ask("GET", "/ui/keys", cookie=one).text
    made = wire.post("/ui/keys", {"principal": "made", "expires": "week"}, cookie=one, x_csrf_token=wire.csrf(one))
    assert made.status == 200
    assert "Copy it now" in made.text


def test_a_get_changes_nothing(wire: Wire) -> None:
    cookie = wire.sign_in()
    form = urlencode({"csrf": wire.csrf(cookie), "do": "disable"})
    for path in ("/ui/sign-out", "/ui/policies/roll-back", "/ui/policies/draft", "/ui/audit/verify"):
        assert wire.ask("GET", f"{path}?{form}", cookie=cookie).status in (404, 405)
    assert wire.ask("GET", "/ui", cookie=cookie).status == 200


def test_the_session_speaks_for_the_interface_only_with_its_token(wire: Wire) -> None:
    cookie = wire.sign_in()
    path = "/api/v1/whoami"
    assert wire.ask("GET", path, cookie=cookie).status == 403
    assert wire.ask("GET", path, cookie=cookie, x_csrf_token=wire.csrf(cookie)).status == 200


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/ui/audit?tool=x&refused=yes", "/ui/audit?tool=x&refused=yes"),
        ("//evil.example", "/ui"),
        ("https://evil.example", "/ui"),
        ("/ui//evil.example", "/ui"),
        ("/ui\\evil", "/ui"),
        ("/ui/../mcp", "/ui"),
        ("/ui\r\nset-cookie: a=b", "/ui"),
        ("/uix", "/ui"),
        ("/ui@evil.example", "/ui"),
        ("javascript:alert(1)", "/ui"),
        ("/ui/%0d%0a", "/ui"),
    ],
)
def test_signing_in_leads_nowhere_else(wanted: str, path: str) -> None:
    assert ours(wanted) == path


def test_guessing_keys_is_slowed_down_and_recorded(tmp_path: Path) -> None:
    config = {
        "auth": {"api_keys": [OPS]},
        "flow": {"enabled": False},
    }
    with running_gateway(config, tmp_path, env={"OPS_KEY": KEY}) as gateway:
        wire = Wire(gateway)
        codes = [wire.post("/ui/sign-in", {"key": f"wrong-key-{n:012}", "next": ""}).status for n in range(10)]
        assert codes[:6] == [401] * 6
        assert set(codes[6:]) == {429}
        late = wire.post("/ui/sign-in", {"key": KEY, "next": ""})
        assert late.status == 429
        assert int(late.headers["retry-after"]) > 0
        log = "".join(path.read_text() for path in gateway.data_dir.rglob("*.jsonl"))
        assert '"sign_in"' in log
        assert "wrong-key" not in log + gateway.log_text()


def test_nobody_signs_in_over_a_plain_connection_from_another_machine(tmp_path: Path) -> None:
    config = {
        "auth": {"api_keys": [OPS]},
        "flow": {"enabled": False},
        "serve": {"allowed_hosts": ["gateway.example"]},
    }
    with running_gateway(config, tmp_path, env={"OPS_KEY": KEY}) as gateway:
        wire = Wire(gateway)
        plain = wire.ask(
            "POST", "/ui/sign-in", {"key": KEY, "next": ""}, host="gateway.example", origin="http://gateway.example"
        )
        assert plain.status == 403
        assert "HTTPS" in plain.text
        assert "set-cookie" not in plain.headers


def test_the_public_address_says_that_it_is_https(tmp_path: Path) -> None:
    config = {
        "auth": {"api_keys": [OPS]},
        "flow": {"enabled": False},
        "serve": {"public_url": "https://gw.example/mcp"},
    }
    with running_gateway(config, tmp_path, env={"OPS_KEY": KEY}) as gateway:
        wire = Wire(gateway)
        form = {"key": KEY, "next": ""}
        for origin in ("https://gw.example", gateway.base):
            host = origin.partition("://")[2]
            cookie = wire.post("/ui/sign-in", form, host=host, origin=origin).headers["set-cookie"]
            assert (cookie.startswith("__Host-") and cookie.endswith("; Secure")) is (host == "gw.example")
        # Whoever says so himself only gets a stricter cookie, and a plain one counts for nothing where it is expected.
        plain = wire.sign_in()
        assert wire.ask("GET", "/ui", cookie=plain, x_forwarded_proto="https").status == 303
        assert wire.ask("GET", "/ui", cookie=plain, host="gw.example").status == 303
        assert wire.ask("GET", "/ui", cookie=plain, x_forwarded_proto="http").status == 200


def test_without_its_templates_the_page_says_so_and_the_interface_works_on(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(
        "import sys\nsys.modules |= dict.fromkeys(('jinja2', 'markupsafe', 'python_multipart', 'multipart'))\n"
    )
    env = {"OPS_KEY": KEY, "PYTHONPATH": str(tmp_path / "without")}
    with running_gateway({"auth": {"api_keys": [OPS]}, "flow": {"enabled": False}}, tmp_path, env=env) as gateway:
        wire = Wire(gateway)
        assert wire.ask("GET", "/api/v1/whoami", authorization=f"Bearer {KEY}").status == 200
        page = wire.ask("GET", "/ui")
        assert page.status == 501
        assert "agentflow-gateway[admin]" in page.text
        assert "content-security-policy" in page.headers


def test_without_keys_whoever_is_on_this_machine_goes_on_as_the_local_principal(tmp_path: Path) -> None:
    with running_gateway({"flow": {"enabled": False}}, tmp_path, port=free_port()) as gateway:
        wire = Wire(gateway)
        assert "Continue as" in wire.ask("GET", "/ui/sign-in").text
        assert not list(gateway.data_dir.glob("agentflow.db")), "a look keeps nothing"
        answer = wire.post("/ui/sign-in", {"as": "local", "next": "/ui/calls"})
        assert answer.headers["location"] == "/ui/calls"
        assert wire.ask("GET", "/ui", cookie=answer.cookie).status == 200


def test_a_session_ends_with_its_key(wire: Wire) -> None:
    admin = wire.sign_in()
    token = wire.csrf(admin)
    made = wire.post("/ui/keys", {"csrf": token, "principal": "passing", "roles": "viewer"}, cookie=admin)
    key = re.search(r'<code id="key">([^<]+)</code>', made.text)
    assert key
    cookie = wire.sign_in(key[1])
    assert wire.ask("GET", "/ui", cookie=cookie).status == 200
    number = re.findall(r'/ui/keys/(\w+)" class="mono', wire.ask("GET", "/ui/keys", cookie=admin).text)[0]
    assert wire.post(f"/ui/keys/{number}", {"csrf": token, "do": "revoke"}, cookie=admin).status == 303
    wait_until(lambda: wire.ask("GET", "/ui", cookie=cookie).status == 303, "the session to end")


def test_what_a_role_may_not_do_is_refused_whatever_is_sent(wire: Wire) -> None:
    cookie = wire.sign_in(VIEWER)
    csrf = wire.ask("GET", "/ui", cookie=cookie).csrf
    for path in ("/ui/keys", "/ui/audit", "/ui/calls", "/ui/quarantine", "/ui/policies", "/ui/policies/edit"):
        assert wire.ask("GET", path, cookie=cookie).status == 403
    for path, form in (
        ("/ui/keys", {"principal": "mine", "roles": "admin"}),
        ("/ui/policies/roll-back", {"do": "back"}),
        ("/ui/audit/verify", {}),
        ("/ui/servers", {"name": "x", "url": "https://tools.example/mcp"}),
        ("/ui/policies/draft", {"do": "keep", "file:a.rego": "package a"}),
    ):
        assert wire.post(path, {**form, "csrf": csrf}, cookie=cookie).status == 403, path


def test_what_is_too_large_or_no_form_is_refused(wire: Wire) -> None:
    cookie = wire.sign_in()
    csrf = wire.csrf(cookie)
    large = wire.post("/ui/keys", {"csrf": csrf, "principal": "x" * 300_000}, cookie=cookie)
    assert large.status in (413, 429)
    assert wire.post("/ui/keys", {"csrf": csrf, "principal": "x" * 2_000}, cookie=cookie).status in (413, 422, 429)
    many = {f"field{number}": "x" for number in range(1_200)}
    assert wire.post("/ui/policies/draft", {**many, "csrf": csrf}, cookie=cookie).status == 422
    odd = wire.ask(
        "POST", "/ui/keys", b"--x\r\nnonsense", cookie=cookie, origin=wire.gateway.base, x_csrf_token=csrf,
        content_type="multipart/form-data; boundary=x",
    )  # fmt: skip
    assert 400 <= odd.status < 500
    assert wire.ask("GET", "/ui", cookie=cookie).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/ui/audit?since=yesterday", "/ui/audit?injection=high", "/ui/audit?decision=maybe", "/ui/audit?cursor=%00x",
        "/ui/audit?since=9999999-01-01", "/ui/audit/%3Cscript%3E", "/ui/servers/%2e%2e%2f", "/ui/keys/none",
        "/ui/policies/none", "/ui/quarantine/none", "/ui/approvals/none", "/ui/policies/replays/none",
        "/ui/calls/new?after=%FF%FE", "/ui/keys?cursor=zzz",
    ],
)  # fmt: skip
def test_odd_addresses_are_refused_or_empty_and_never_an_internal_error(wire: Wire, path: str) -> None:
    answer = wire.ask("GET", path, cookie=wire.sign_in())
    assert answer.status < 500
    assert "<script>" not in answer.text


def test_a_server_is_added_looked_at_and_removed(wire: Wire) -> None:
    cookie = wire.sign_in()
    csrf = {"csrf": wire.csrf(cookie)}
    form = {**csrf, "name": "later", "url": "http://127.0.0.1:9/mcp", "type": "http"}
    added = wire.post("/ui/servers", form, cookie=cookie)
    assert (added.status, added.headers["location"]) == (303, "/ui/servers/later?done=added")
    shown = wire.ask("GET", added.headers["location"], cookie=cookie).text
    assert "The server is added." in shown
    assert "unavailable" in shown
    again = wire.post("/ui/servers", form, cookie=cookie)
    assert again.status == 409
    assert "later" in again.text
    inside = wire.post("/ui/servers", {**form, "name": "inside", "url": "http://[::1]:9/mcp"}, cookie=cookie)
    assert inside.status == 403
    assert "not at a public address" in inside.text
    removed = wire.post("/ui/servers/later", {**csrf, "do": "remove"}, cookie=cookie)
    assert removed.headers["location"] == "/ui/servers?done=removed"
    assert "/ui/servers/later" not in wire.ask("GET", "/ui/servers", cookie=cookie).text


def test_a_credential_is_shown_without_its_secret_and_taken_away(wire: Wire) -> None:
    stored(wire.gateway, Owner("default", "<b>kim</b>"), "crm")
    cookie = wire.sign_in()
    page = wire.ask("GET", "/ui/credentials", cookie=cookie)
    assert "&lt;b&gt;kim&lt;/b&gt;" in page.text
    assert "<b>kim" not in page.text
    assert "hush" not in page.text
    form = {"csrf": page.csrf, "tenant": "default", "principal": "<b>kim</b>", "server": "crm"}
    assert wire.post("/ui/credentials", {**form, "tenant": "acme"}, cookie=cookie).status == 404
    gone = wire.post("/ui/credentials", form, cookie=cookie)
    assert gone.headers["location"] == "/ui/credentials?done=revoked"
    after = wire.ask("GET", gone.headers["location"], cookie=cookie).text
    assert "taken away" in after
    assert "No principal has a credential" in after


def test_whoever_is_only_asked_begins_at_the_approvals_and_is_told_how_many_wait(tmp_path: Path) -> None:
    asks = {"tools": ["remember"], "effect": "approve", "ttl": 300, "approvers": {"who": ["role:finance"]}}
    keys = [
        OPS,
        {"id": "fin", "key": "${VIEWER_KEY}", "kind": "user", "roles": ["finance"]},
        {"id": "bot", "key": "${BOT_KEY}", "roles": ["agent"]},
    ]
    offer, called = tmp_path / "offer.json", tmp_path / "called"
    offer.write_text('{"tools": [{"name": "remember", "inputSchema": {"type": "object"}}]}')
    config = {
        "mcpServers": {"notes": {"command": sys.executable, "args": [str(CHANGING), str(offer), str(called)]}},
        "auth": {"api_keys": keys},
        "flow": {"enabled": False},
        "policy": {"data": {"settings": {"rules": {"asks": asks}}}},
        "approvals": {"hold": 0.2},
    }
    bot = "bot-key-0123456789abcdef"
    with running_gateway(config, tmp_path, env={"OPS_KEY": KEY, "VIEWER_KEY": VIEWER, "BOT_KEY": bot}) as gateway:
        wire = Wire(gateway)
        cookie = wire.sign_in(VIEWER)
        start = wire.ask("GET", "/ui", cookie=cookie)
        assert (start.status, start.headers["location"]) == (303, "/ui/approvals")
        assert "Nothing waits for approval." in wire.ask("GET", "/ui/approvals", cookie=cookie).text
        call = {"name": "notes__remember", "arguments": {}}

        def asked() -> bool:
            answer = gateway.rpc("tools/call", call, authorization=f"Bearer {bot}")
            return "pproval" in str(answer) and "unknown" not in str(answer)

        wait_until(asked, "the approval", evidence=gateway.log_text)
        page = wire.ask("GET", "/ui/approvals", cookie=cookie)
        assert re.search(r'class="count">1<span class="hidden"> to answer', page.text)
        assert "anybody with the role finance" in page.text
        assert 'class="count"' in wire.ask("GET", "/ui/keys", cookie=wire.sign_in()).text
        [number] = re.findall(r'action="/ui/approvals/(\w+)"', page.text)
        voted = wire.post(f"/ui/approvals/{number}", {"csrf": page.csrf, "do": "approve"}, cookie=cookie)
        after = wire.ask("GET", voted.headers["location"], cookie=cookie)
        assert after.status == 200
        assert "Approved: the call goes on." in after.text
        assert 'class="count"' not in after.text
        records = "".join(path.read_text() for path in gateway.data_dir.rglob("*.jsonl"))
        assert '"outcome":"forbidden"' not in records


def test_a_name_with_what_cannot_be_seen_makes_no_markup_in_the_title() -> None:
    title = visible("a\u200b</title><script>")
    text = render("stranger.html", {"title": title, "problem": Forbidden("no")}).decode()
    [head] = re.findall("<title>(.*?)</title>", text)
    assert head == "a⟨U+200B⟩&lt;/title&gt;&lt;script&gt; · AgentFlow"


def test_untrusted_text_is_escaped_spelled_out_and_cut() -> None:
    assert str(visible("<script>&\"'")) == "&lt;script&gt;&amp;&#34;&#39;"
    assert "\u202e" not in visible("a\u202eb")
    assert "⟨U+202E⟩" in visible("a\u202eb")
    assert "\x1b" not in visible("\x1b[31mred\x1b[0m")
    assert "⟨U+0430⟩" in visible("p\u0430ypal"), "a letter that passes for another"
    assert "⟨U+D800⟩" in visible("\ud800")
    huge = visible("<" * 1_000_000)
    assert len(huge) < 40_000
    assert "996,000 more characters" in huge
    assert "&lt;b&gt;" in pretty({"<b>": "\u200b"})
    assert "<" not in str(short("a" * 64)).replace("<code", "").replace("</code>", "").replace('">', "")
    assert str(short("<" * 64)).startswith("&lt;")


def test_half_a_surrogate_pair_in_a_page_is_no_error() -> None:
    class Odd(Exception):
        message, fix, data = "half \ud800", "", {}

    assert b"U+D800" in render("stranger.html", {"title": "Odd \ud800", "problem": Odd()})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_read_well(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(7, "7 µs"), (1_500, "1.5 ms"), (2_500_000, "2.50 s"), (None, "–")])
def test_times_read_well(value: float | None, said: str) -> None:
    assert micros(value) == said
