"""Tokens of issuers, verified against a real OpenID Connect server over sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.key_world import until
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oidc_server import AUDIENCE, Provider, new_key, provider

from agentflow.audit.events import Event
from agentflow.config_auth import IssuerConfig
from agentflow.errors import ConfigError, IdentityUnavailable, InsufficientScope, Unauthenticated
from agentflow.identity import jwks
from agentflow.identity.issuers import Issuers

JSON = dict[str, Any]


@pytest.fixture
def issuer() -> Iterator[Provider]:
    with provider() as made:
        yield made


def config(issuer: Provider, **settings: Any) -> IssuerConfig:
    return IssuerConfig.model_validate({"issuer": issuer.issuer, "audience": AUDIENCE, **settings})


def issuers(issuer: Provider, **settings: Any) -> Issuers:
    return Issuers([config(issuer, **settings)])


async def why(known: Issuers, token: str | bytes) -> str:
    """The reason for which a token is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await known.authenticate(token if isinstance(token, bytes) else token.encode())
    said = refused.value
    assert str(token)[-20:] not in f"{said.message}{said.payload()}"
    return said.reason


async def test_a_token_of_the_issuer_makes_its_holder_a_principal(issuer: Provider) -> None:
    known = issuers(issuer)
    token = issuer.mint({"scope": "tools:read tools:write"}).encode()
    assert known.known(token) is None
    caller = await known.authenticate(token)
    assert (caller.id, caller.kind, caller.roles, caller.tenant) == ("ada", "user", ("agent",), "default")
    assert caller.scopes == ("tools:read", "tools:write") and caller.auth == "jwt"
    assert known.known(token) == caller
    assert issuer.asked["configuration"] == issuer.asked["jwks"] == 1


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
async def test_every_algorithm_on_the_list_is_verified(issuer: Provider, algorithm: str) -> None:
    if algorithm.startswith("E") and not algorithm.startswith("ES"):
        key: Any = OKPKey.generate_key("Ed25519", {"kid": "o", "alg": "Ed25519"})
        issuer.keys = [key]
        registry = jws.JWSRegistry(algorithms=["Ed25519"], strict_check_header=False)
        body = {"iss": issuer.issuer, "aud": AUDIENCE, "exp": int(time.time()) + 60, "sub": "ada"}
        token = jws.serialize_compact({"alg": "Ed25519", "kid": "o"}, json.dumps(body), key, registry=registry)
        if algorithm == "EdDSA":
            head = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"o"}').rstrip(b"=")
            signed = head + b"." + token.encode().split(b".")[1]
            signature = base64.urlsafe_b64encode(key.private_key.sign(signed)).rstrip(b"=")
            token = (signed + b"." + signature).decode()
    else:
        issuer.keys = [new_key(algorithm=algorithm)]
        token = issuer.mint()
    known = issuers(issuer)
    assert (await known.authenticate(token.encode())).id == "ada"
    assert await why(known, token[:-10] + ("A" * 10)) == "bad_signature"


_CLAIMS = ("aud", "exp", "nbf", "iat", "sub", "azp", "scope", "token_use", "typ")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def in_pieces(token: str) -> tuple[JSON, JSON, str]:
    head, body, signature = token.split(".")
    return (
        json.loads(base64.urlsafe_b64decode(head + "==")),
        json.loads(base64.urlsafe_b64decode(body + "==")),
        signature,
    )


def joined(head: Any, body: Any, signature: str = "AAAA") -> str:
    def written(part: Any) -> str:
        text = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    return f"{written(head)}.{written(body)}.{signature}"


async def test_what_is_not_signed_by_the_issuer_is_refused_whatever_it_says(issuer: Provider) -> None:
    known = issuers(issuer)
    head, body, signature = in_pieces(issuer.mint())
    public = issuer.keys[0].as_dict(private=False)
    assert await why(known, joined({"alg": "none"}, body, "AA")) == "algorithm"
    assert await why(known, joined({"alg": "none"}, body, "")) == "malformed"
    assert await why(known, joined({**head, "alg": "nOnE"}, body)) == "algorithm"
    assert await why(known, joined({**head, "alg": ["ES256"]}, body)) in ("algorithm", "malformed")
    assert await why(known, joined(head, {**body, "sub": "eve"}, signature)) == "bad_signature"
    assert await why(known, issuer.mint(key=new_key(issuer.keys[0].kid))) == "bad_signature"
    # HMAC with the public key as the secret (RFC 8725, 2.1).
    for secret in (json.dumps(public), issuer.keys[0].as_pem(private=False).decode()):  # type: ignore[union-attr]
        key = OctKey.import_key(base64.urlsafe_b64encode(secret.encode()).decode())
        registry = jws.JWSRegistry(algorithms=["HS256"], strict_check_header=False)
        forged = jws.serialize_compact({**head, "alg": "HS256"}, json.dumps(body), key, registry=registry)
        assert await why(known, forged) == "algorithm"
    # A key of the attacker's, in the token or beside it.
    mine = ECKey.generate_key("P-256", {"kid": "mine"})
    assert await why(known, issuer.mint(header={"jwk": mine.as_dict(private=False)}, key=mine)) == "embedded_key"
    for pointer in ("jku", "x5u"):
        assert await why(known, issuer.mint(header={pointer: f"{issuer.issuer}/moved"}, key=mine)) == "unknown_key_id"
    assert issuer.asked["set"] == issuer.asked["jwks"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": None}, "no_expiry"),
        ({"exp": 1}, "expired"),
        ({"exp": "9999999999"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": -1}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"exp": 1_900_000_000_000}, "malformed"),  # milliseconds: the year 62178
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "bound"),
        ({"nbf": 9_999_999_999}, "not_yet_valid"),
        ({"iat": 9_999_999_999}, "issued_in_future"),
        ({"aud": None}, "foreign_audience"),
        ({"aud": "https://other.test"}, "foreign_audience"),
        ({"aud": ["https://other.test", AUDIENCE + "/"]}, "foreign_audience"),
        ({"aud": {"0": AUDIENCE}}, "foreign_audience"),
        ({"iss": "https://evil.test"}, "foreign_issuer"),
        ({"iss": None}, "foreign_issuer"),
        ({"iss": ["x"]}, "foreign_issuer"),
        ({"sub": None}, "id_claim"),
        ({"sub": ""}, "id_claim"),
        ({"sub": 7}, "id_claim"),
        ({"sub": "a" * 257}, "id_claim"),
        ({"sub": "ada\n"}, "id_claim"),
        ({"sub": "ada\u202e"}, "id_claim"),
        ({"sub": "ad\x00a"}, "id_claim"),
        ({"sub": "ada\ufe0f"}, "id_claim"),
        ({"sub": "a\u115fda"}, "id_claim"),
        ({"sub": "\u3164"}, "id_claim"),
        ({"sub": "ada\u2800"}, "id_claim"),
        ({"sub": "\uff41da"}, "id_claim"),
        ({"sub": "ade\u0301"}, "id_claim"),
        ({"token_use": "id"}, "type"),
        ({"typ": "Refresh"}, "type"),
        ({"events": {}}, "type"),
    ],
)
async def test_claims_that_do_not_fit_are_refused(issuer: Provider, changed: JSON, reason: str) -> None:
    assert await why(issuers(issuer), issuer.mint(changed)) == reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"typ": "dpop+jwt"}, "type"),
        ({"typ": "id+jwt"}, "type"),
        ({"typ": "logout+jwt"}, "type"),
        ({"crit": ["exp"]}, "critical_header"),
        ({"b64": False, "crit": ["b64"]}, "critical_header"),
        ({"cty": "JWT"}, "nested"),
        ({"zip": "DEF"}, "nested"),
        ({"kid": ""}, "key_id"),
        ({"kid": "../../etc/passwd"}, "unknown_key_id"),
        ({"kid": "' OR 1=1 --"}, "unknown_key_id"),
        ({"kid": "a\nb"}, "key_id"),
        ({"kid": "k" * 513}, "key_id"),
    ],
)
async def test_headers_that_do_not_fit_are_refused(issuer: Provider, changed: JSON, reason: str) -> None:
    head, body, _ = in_pieces(issuer.mint())
    assert await why(issuers(issuer), joined({**head, **changed}, body)) == reason


async def test_what_can_be_read_in_two_ways_is_refused(issuer: Provider) -> None:
    known = issuers(issuer)
    head, body, _ = in_pieces(issuer.mint())
    twice = json.dumps(body)[:-1].encode() + b', "sub": "eve"}'
    doubled = jws.serialize_compact(head, twice, issuer.keys[0], algorithms=["ES256"])
    assert await why(known, doubled) == "malformed"
    assert await why(known, joined(b'{"alg":"ES256","alg":"none"}', body)) == "malformed"
    for wrong in (b"NaN", b"Infinity", b"1e999", b"9" * 5000):
        text = json.dumps(body).encode()[:-1].replace(b'"exp"', b'"was"') + b', "exp": ' + wrong + b"}"
        assert await why(known, joined(head, text)) == "malformed"
    for text in (b"[]", b"null", b"7", b'"x"', b"\xff", b"{" * 100_00, b'{"a":' * 2000 + b"1" + b"}" * 2000):
        assert await why(known, joined(head, text)) in ("malformed", "oversized", "foreign_issuer")


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(joined, st.binary(max_size=100), st.binary(max_size=100)),
        st.builds(joined, _JSON, _JSON, st.text("AZaz09-_", max_size=20)),
        st.builds(
            joined,
            st.fixed_dictionaries({"alg": st.sampled_from(["ES256", "none"])}, optional={"kid": _JSON, "typ": _JSON}),
            st.fixed_dictionaries({"iss": st.just("https://login.test")}, optional=dict.fromkeys(_CLAIMS, _JSON)),
        ),
    )
)
def test_whatever_is_presented_is_refused_and_breaks_nothing(presented: bytes | str) -> None:
    about = {"issuer": "https://login.test", "audience": "x", "jwks_url": "https://127.0.0.2/", "leeway": 0}
    known = Issuers([IssuerConfig.model_validate(about)])
    asyncio.run(why(known, presented))


async def test_what_is_no_token_is_refused(issuer: Provider) -> None:
    known = issuers(issuer)
    token = issuer.mint()
    head, _, signature = token.split(".")
    oddities = ["..", "a.b", f"{token}.", f".{token}", token.replace(".", "..", 1), f"{head}=.{token[len(head) + 1 :]}"]
    for odd in (*oddities, f"{head}. .{signature}", "é.é.é"):
        assert await why(known, odd.encode()) == "malformed"
    assert await why(known, f"{head}.a.b.c.d") == "encrypted"
    assert await why(known, issuer.mint({"padding": "x" * 17_000})) == "oversized"


async def test_clocks_may_differ_by_the_leeway_and_no_more(issuer: Provider) -> None:
    now = int(time.time())
    for leeway, late, good in ((60, 30, True), (60, 90, False), (0, 5, False)):
        known = issuers(issuer, leeway=leeway)
        tokens = [issuer.mint({"exp": now - late}), issuer.mint({"nbf": now + late}), issuer.mint({"iat": now + late})]
        for token in tokens:
            if good:
                assert (await known.authenticate(token.encode())).id == "ada"
            else:
                assert await why(known, token) in ("expired", "not_yet_valid", "issued_in_future")


async def test_a_token_that_is_known_counts_no_longer_than_it_lasts(issuer: Provider) -> None:
    clock = [time.time()]
    known = Issuers([config(issuer, leeway=0)], now=lambda: clock[0])
    token = issuer.mint({"exp": int(clock[0]) + 100}).encode()
    await known.authenticate(token)
    clock[0] += 99
    assert known.known(token) is not None
    clock[0] += 2
    assert known.known(token) is None
    assert await why(known, token) == "expired"


async def test_an_id_token_is_refused_where_only_access_tokens_are_taken(issuer: Provider) -> None:
    plain, id_token = issuer.mint(header={"typ": "JWT"}), issuer.mint({"nonce": "n", "at_hash": "h"}, {"typ": "JWT"})
    assert (await issuers(issuer).authenticate(id_token.encode())).id == "ada"  # its audience says that it is for us
    assert await why(issuers(issuer, tokens="access"), id_token) == "type"
    assert (await issuers(issuer, tokens="access").authenticate(plain.encode())).id == "ada"
    assert await why(issuers(issuer, tokens="at+jwt"), plain) == "type"
    assert (await issuers(issuer, tokens="at+jwt").authenticate(issuer.mint().encode())).id == "ada"


async def test_only_the_clients_on_the_list_are_taken(issuer: Provider) -> None:
    known = issuers(issuer, clients=["desktop"])
    assert (await known.authenticate(issuer.mint({"azp": "desktop"}).encode())).id == "ada"
    assert (await known.authenticate(issuer.mint({"client_id": "desktop"}).encode())).id == "ada"
    assert await why(known, issuer.mint({"azp": "other", "client_id": "desktop"})) == "foreign_client"
    assert await why(known, issuer.mint()) == "foreign_client"


async def test_a_token_without_a_required_scope_says_which_are_missing(issuer: Provider) -> None:
    known = issuers(issuer, required_scopes=["mcp", "tools"])
    with pytest.raises(InsufficientScope) as refused:
        await known.authenticate(issuer.mint({"scope": "mcp"}).encode())
    assert refused.value.scopes == ("mcp", "tools") and refused.value.status == 403
    assert (await known.authenticate(issuer.mint({"scp": ["tools", "mcp"]}).encode())).scopes == ("tools", "mcp")


# Claims --------------------------------------------------------------------------------------------------------


async def test_claims_say_roles_tenant_and_kind(issuer: Provider) -> None:
    paths = {"id": "email", "roles": "/realm_access/roles", "tenant": "org.name", "kind": "https://x.test/kind"}
    known = issuers(
        issuer,
        claims=paths,
        roles_map={"gateway-admins": ["admin", "operator"], "staff": ["agent"]},
        tenants=["acme", "home"],
    )
    claims: JSON = {"email": "ada@acme.test", "org": {"name": "acme"}, "https://x.test/kind": "agent"}
    token = issuer.mint({**claims, "realm_access": {"roles": ["gateway-admins", "staff", "other"]}})
    caller = await known.authenticate(token.encode())
    assert (caller.id, caller.tenant, caller.kind) == ("ada@acme.test", "acme", "agent")
    assert caller.roles == ("admin", "operator", "agent")
    assert (await known.authenticate(issuer.mint(claims).encode())).roles == ("agent",)  # none named: the default
    assert await why(known, issuer.mint({**claims, "org": {"name": "globex"}})) == "foreign_tenant"
    assert await why(known, issuer.mint({**claims, "org": {"name": "ac\u200bme"}})) == "tenant_claim"
    assert await why(known, issuer.mint({**claims, "org": None})) == "tenant_claim"


async def test_no_token_names_a_tenant_that_cannot_be_one(issuer: Provider) -> None:
    """`agentflow` is the vault's name for the gateways' own keys; `default/x` would read as a caller of `default`."""
    known = issuers(issuer, claims={"tenant": "org"})
    assert (await known.authenticate(issuer.mint({"org": "Acme Inc."}).encode())).tenant == "Acme Inc."
    for name in ("agentflow", "default/x", "/"):
        assert await why(known, issuer.mint({"org": name})) == "foreign_tenant"


async def test_tenants_of_the_issuer_get_the_names_of_ours(issuer: Provider) -> None:
    known = issuers(issuer, claims={"tenant": "tid"}, tenants_map={"0f-1": "acme"})
    assert (await known.authenticate(issuer.mint({"tid": "0f-1"}).encode())).tenant == "acme"
    assert await why(known, issuer.mint({"tid": "acme"})) == "foreign_tenant"


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        ({"sub": "job", "client_id": "job"}, "service"),
        ({"sub": "job", "azp": "job"}, "service"),
        ({"gty": "client-credentials"}, "service"),
        ({"idtyp": "app"}, "service"),
        ({"client_id": "desktop"}, "user"),
    ],
)
async def test_a_client_s_own_token_is_that_of_a_service(issuer: Provider, claims: JSON, kind: str) -> None:
    assert (await issuers(issuer).authenticate(issuer.mint(claims).encode())).kind == kind


async def test_two_issuers_never_make_one_principal_of_two_people(issuer: Provider) -> None:
    with provider() as other:
        both = Issuers([config(issuer), config(other)])
        one = await both.authenticate(issuer.mint().encode())
        two = await both.authenticate(other.mint().encode())
        assert one.id == "ada" and one.key != two.key and two.id.endswith("|ada")
        assert await why(both, issuer.mint({"sub": two.id})) == "id_taken"
        apart = Issuers([config(issuer), config(other, tenant="acme", id_prefix="")])
        assert (await apart.authenticate(other.mint().encode())).key == "4:acme:ada"
        with pytest.raises(ConfigError):
            Issuers([config(issuer), config(other, id_prefix="")])
        with pytest.raises(ConfigError):
            Issuers([config(issuer), config(other, tenant="acme", claims={"tenant": "t"}, id_prefix="")])


async def test_nobody_gets_the_id_of_a_configured_caller(issuer: Provider) -> None:
    known = Issuers([config(issuer)], taken={"7:default:ada"})
    assert await why(known, issuer.mint()) == "id_taken"


# Keys ----------------------------------------------------------------------------------------------------------


async def test_a_rotated_key_counts_at_once_and_the_old_one_no_longer(issuer: Provider) -> None:
    known = issuers(issuer)
    old = issuer.mint().encode()
    await known.authenticate(old)
    issuer.keys = [new_key()]
    assert (await known.authenticate(issuer.mint().encode())).id == "ada"
    assert known.known(old) is None
    assert await why(known, old) == "unknown_key_id"
    assert issuer.asked["jwks"] <= 3


async def test_a_flood_of_made_up_key_ids_makes_no_flood_of_fetches(issuer: Provider) -> None:
    known = issuers(issuer)
    await known.authenticate(issuer.mint().encode())
    forged = [issuer.mint(key=new_key(f"k{number}")) for number in range(100)]
    refused = await asyncio.gather(*(why(known, token) for token in forged))
    assert set(refused) == {"unknown_key_id"}
    for token in forged:
        assert await why(known, token) == "unknown_key_id"
    assert issuer.asked["jwks"] <= 1 + 4
    assert (await known.authenticate(issuer.mint({"sub": "bob"}).encode())).id == "bob"


async def test_an_issuer_that_fails_is_not_asked_again_for_every_token(issuer: Provider) -> None:
    issuer.mode = "error"
    known = issuers(issuer)
    for number in range(30):
        with pytest.raises(IdentityUnavailable):
            await known.authenticate(issuer.mint({"jti": str(number)}).encode())
    assert issuer.asked["jwks"] <= 2


async def test_whoever_waits_for_the_keys_of_an_issuer_that_is_taken_away_is_answered(issuer: Provider) -> None:
    issuer.mode = "slow"
    known = issuers(issuer)
    waiting = asyncio.ensure_future(known.authenticate(issuer.mint().encode()))
    await until(lambda: issuer.asked["jwks"], "the fetch to begin")
    Issuers([], previous=known)
    with pytest.raises(IdentityUnavailable):
        await waiting


async def test_many_first_callers_wait_for_one_fetch(issuer: Provider) -> None:
    known = issuers(issuer)
    tokens = [issuer.mint({"sub": f"u{number}"}).encode() for number in range(50)]
    callers = await asyncio.gather(*map(known.authenticate, tokens))
    assert len({caller.id for caller in callers}) == 50
    assert issuer.asked["jwks"] == 1


@pytest.mark.parametrize("mode", ["error", "html", "garbage", "huge", "slow", "redirect", "empty", "list", "gone"])
async def test_while_the_keys_cannot_be_had_nobody_is_let_in_and_then_everybody(
    issuer: Provider, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "_AGAIN", 0.0)
    known = issuers(issuer, timeout=0.2)
    token = issuer.mint().encode()
    issuer.mode = mode
    if mode == "gone":
        issuer.stop()
    with pytest.raises(IdentityUnavailable) as refused:
        await known.authenticate(token)
    assert refused.value.status == 503 and refused.value.reason == "keys_unavailable"
    issuer.mode = "ok"
    if mode == "gone":
        issuer.start()
    assert (await known.authenticate(token)).id == "ada"


async def test_the_last_keys_go_on_for_a_while_when_the_issuer_is_gone_and_then_count_no_more(issuer: Provider) -> None:
    clock = [0.0]
    events: list[Event] = []
    keys = jwks.Keys(config(issuer, refresh=100, keep_keys=1000), events.append, now=lambda: clock[0])
    (key,) = await keys.find(issuer.keys[0].kid, "ES256")
    issuer.stop()
    clock[0] = 90  # past the time for a new fetch in the background
    assert keys.counts(key.print)
    await until(lambda: any(event.event == "jwks_failed" for event in events), "the fetch to fail")
    clock[0] = 1099
    assert keys.counts(key.print) and await keys.find(issuer.keys[0].kid, "ES256")
    clock[0] = 1101
    assert not keys.counts(key.print)
    with pytest.raises(jwks.KeysUnavailable):
        await keys.find(issuer.keys[0].kid, "ES256")
    issuer.start()
    clock[0] = 1110
    assert await keys.find(issuer.keys[0].kid, "ES256")
    assert [event.event for event in events][:1] == ["jwks_loaded"] and events[-1].event == "jwks_loaded"
    keys.close()


@pytest.mark.parametrize(("said", "again"), [("max-age=60", 49), ("max-age=1", 25), ("no-store", 25), ("", 481)])
async def test_keys_are_fetched_again_in_the_background_before_they_are_old(
    issuer: Provider, said: str, again: float
) -> None:
    clock = [0.0]
    issuer.headers = {"cache-control": said}
    keys = jwks.Keys(config(issuer), now=lambda: clock[0])
    (key,) = await keys.find(issuer.keys[0].kid, "ES256")
    clock[0] = again - 2
    assert keys.counts(key.print) and issuer.asked["jwks"] == 1
    clock[0] = again
    issuer.keys = [new_key()]
    assert keys.counts(key.print)  # nobody waits
    await until(lambda: not keys.counts(key.print), "the new set")
    assert issuer.asked["jwks"] == 2
    keys.close()


async def test_keys_that_must_not_verify_are_left_out_of_the_set(issuer: Provider) -> None:
    good = new_key("good")
    short = json.loads(json.dumps(RSAKey.generate_key(2048, {"kid": "short"}).as_dict(private=False)))
    short["n"] = short["n"][:100]
    private = new_key("private").as_dict(private=True)
    document = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        short,
        private,
        {**new_key("enc").as_dict(private=False), "use": "enc"},
        {**new_key("ops").as_dict(private=False), "key_ops": ["sign"]},
        {**new_key("other").as_dict(private=False), "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-curve"},
        {"kty": "AKP", "kid": "tomorrow's"},
        {"kty": ["RSA"]},
        "no key",
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "alg": ["EdDSA"]},
        {**new_key("listed").as_dict(private=False), "alg": {"ES256": 1}},
        {**new_key("text").as_dict(private=False), "key_ops": "sign"},
        {"kty": "RSA", "kid": "endless", "n": "_" * 20_000, "e": "AQAB"},
        *({**new_key().as_dict(private=False), "use": "enc"} for _ in range(100)),
        good.as_dict(private=False),
    ]
    read = jwks._read({"keys": document}, config(issuer))
    assert [key.kid for key in read] == ["good"]


async def test_a_token_without_a_key_id_is_verified_with_what_fits(issuer: Provider) -> None:
    issuer.keys = [new_key(algorithm="RS256"), new_key(), new_key()]
    known = issuers(issuer)
    assert (await known.authenticate(issuer.mint(header={"kid": None}, key=issuer.keys[2]).encode())).id == "ada"


async def test_the_metadata_has_to_be_the_issuer_s_own(issuer: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    token = issuer.mint().encode()
    for wrong in (
        {"issuer": issuer.issuer + "/"},
        {"issuer": "https://evil.test"},
        {"jwks_uri": 7},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"jwks_uri": "https://10.0.0.1/keys"},
        {"jwks_uri": "https://[::ffff:192.168.0.1]/keys"},
    ):
        issuer.metadata = wrong
        with pytest.raises(IdentityUnavailable):
            await issuers(issuer).authenticate(token)
    assert issuer.asked["jwks"] == 0


async def test_an_issuer_with_a_path_is_discovered() -> None:
    with provider("/realms/one") as made:
        assert (await issuers(made).authenticate(made.mint().encode())).id == "ada"


async def test_metadata_is_not_needed_where_the_keys_address_is_configured(issuer: Provider) -> None:
    known = issuers(issuer, jwks_url=f"{issuer.issuer}/jwks")
    assert (await known.authenticate(issuer.mint().encode())).id == "ada"
    assert issuer.asked["configuration"] == 0


async def test_a_reload_keeps_the_keys_of_an_issuer_that_stays_as_it_is(issuer: Provider) -> None:
    before = issuers(issuer)
    token = issuer.mint().encode()
    await before.authenticate(token)
    after = Issuers([config(issuer)], previous=before)
    await after.authenticate(token)
    assert issuer.asked["jwks"] == 1
    changed = Issuers([config(issuer, audience="https://elsewhere.test")], previous=after)
    assert await why(changed, token.decode()) == "foreign_audience"


async def test_tokens_of_an_openid_connect_server_that_is_not_ours_are_taken() -> None:
    """`oidc-provider-mock` signs ID tokens only; their audience is the client."""
    with warnings.catch_warnings():
        import authlib.deprecate  # noqa: F401 - turns its warnings on

        warnings.simplefilter("ignore")
        import oidc_provider_mock
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        with oidc_provider_mock.run_server_in_thread() as server:
            base = f"http://localhost:{server.server_port}"
            callback = "http://localhost/callback"
            async with AsyncOAuth2Client("desk", "secret", scope="openid email", redirect_uri=callback) as client:
                address, _ = client.create_authorization_url(f"{base}/oauth2/authorize")
                async with httpx2.AsyncClient() as browser:
                    answer = await browser.post(address, data={"sub": "ada@acme.test"})
                where = answer.headers["location"]
                granted = await client.fetch_token(f"{base}/oauth2/token", authorization_response=where)
            settings = {"issuer": base, "audience": "desk", "claims": {"id": "email"}}
            known = Issuers([IssuerConfig.model_validate(settings)])
            caller = await known.authenticate(granted["id_token"].encode())
            assert (caller.id, caller.kind) == ("ada@acme.test", "user")
            assert await why(known, granted["access_token"]) == "malformed"
            strict = Issuers([IssuerConfig.model_validate({**settings, "tokens": "access"})])
            assert await why(strict, granted["id_token"]) == "type"
