"""The settings of who may call (`auth:` in `agentflow.yaml`): API keys, token issuers, and callers on this machine.

Only what cannot be forged without a secret is taken: algorithms are asymmetric ones, and an issuer without an
audience is refused, for it would let in every token that it ever made for anybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from agentflow.config_base import Section

Kind = Literal["user", "agent", "service"]
ScopeName = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")]  # RFC 6749, section 3.3
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip
RESERVED = "agentflow"  # the vault's name for the gateways' own keys, no tenant's
_ASYMMETRIC: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


def is_tenant(name: str) -> bool:
    """Whether a tenant may have this name: records say `tenant/principal`, so it has no slash."""
    return bool(name.strip()) and "/" not in name and name != RESERVED


def _tenant(name: str) -> str:
    if not is_tenant(name):
        raise ValueError(f"cannot be a tenant's name: not empty, no slash, and not `{RESERVED}`")
    return name


TenantName = Annotated[str, AfterValidator(_tenant)]


class ApiKey(Section):
    """A caller known by a key. The key comes from the environment (`${VAR}`) or a file (`key_file`)."""

    id: str = Field(description="Stable name of the caller, unique within its tenant.")
    key: SecretStr | None = Field(default=None, description="The key, as ${VAR}.")
    key_file: Path | None = Field(default=None, description="File that holds the key and nothing else.")
    kind: Kind = Field(default="agent", description="What the caller is.")
    roles: tuple[str, ...] = Field(default=("agent",), description="Roles, as policy knows them.")
    tenant: TenantName = Field(
        default="default", description="Tenant: PII tokens, sessions and records of tenants never meet."
    )
    scopes: tuple[str, ...] = Field(default=(), description="OAuth-style scopes, as policy knows them.")

    @model_validator(mode="after")
    def _one_source(self) -> ApiKey:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("needs exactly one of `key` and `key_file`")
        return self


class LocalPrincipal(Section):
    """Who a caller is where nothing authenticates it: stdio, and loopback HTTP without keys."""

    id: str = Field(default="local", description="Name of the caller in records.")
    kind: Kind = Field(default="user", description="What the caller is.")
    roles: tuple[str, ...] = Field(default=("operator",), description="Roles, as policy knows them.")
    tenant: TenantName = Field(default="default", description="Tenant of the caller.")
    scopes: tuple[str, ...] = Field(default=(), description="OAuth-style scopes, as policy knows them.")


class ClaimsConfig(Section):
    """Which claims say what. A path is a claim's name, names joined by dots, or a JSON pointer (`/realm_access/roles`).

    A claim whose own name has dots or slashes in it is found by its whole name first.
    """

    id: str = Field(default="sub", description="The caller's name: one string.")
    roles: str | None = Field(
        default=None, description="Roles or groups: a list, or one string with spaces. Without it `default_roles`."
    )
    tenant: str | None = Field(default=None, description="The tenant: one string. Without it the issuer's `tenant`.")
    scopes: str | None = Field(
        default=None, description="Scopes: a list, or one string with spaces. Default `scope`, or else `scp`."
    )
    kind: str | None = Field(default=None, description="`user`, `agent` or `service`; else the issuer's `kind`.")


class IssuerConfig(Section):
    """An OAuth 2.1 or OpenID Connect server whose JWT access tokens are taken (RFC 7519, RFC 9068)."""

    issuer: str = Field(description="Its identifier, exactly as in the `iss` claim: https://login.example.org/realm.")
    audience: tuple[str, ...] = Field(
        description="Values of the `aud` claim that mean this gateway: one of them has to be there."
    )
    jwks_url: str | None = Field(default=None, description="Where its keys are; default what discovery says.")
    discovery: str | None = Field(
        default=None,
        description="Where its metadata is; default <issuer>/.well-known/openid-configuration, or else RFC 8414's.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=_ASYMMETRIC, description="Signature algorithms that are taken; asymmetric ones only."
    )
    leeway: float = Field(default=60.0, ge=0, le=300, description="Seconds by which clocks may differ.")
    tokens: Literal["any", "access", "at+jwt"] = Field(
        default="any",
        description="`access` refuses tokens that look like ID tokens (nonce, at_hash, c_hash); `at+jwt` takes only "
        "those that say they are access tokens in their header (RFC 9068).",
    )
    claims: ClaimsConfig = Field(default=ClaimsConfig(), description="Which claims say what.")
    roles_map: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Value of the roles claim to the roles it stands for; others then stand for none. Empty: as is.",
    )
    default_roles: tuple[str, ...] = Field(
        default=("agent",), description="Roles of callers for whom the token names none."
    )
    tenant: TenantName = Field(default="default", description="Tenant of its callers, where no claim says which.")
    tenants: tuple[TenantName, ...] = Field(
        default=(), description="Tenants that its tokens may name, with `claims.tenant`; others are refused."
    )
    tenants_map: dict[str, TenantName] = Field(
        default_factory=dict, description="Value of the tenant claim to the tenant it stands for; others are refused."
    )
    kind: Literal["user", "agent", "service", "auto"] = Field(
        default="auto", description="What its callers are; `auto`: a service where the token is a client's own."
    )
    required_scopes: tuple[ScopeName, ...] = Field(
        default=(), description="Scopes without which no call is taken (403)."
    )
    clients: tuple[str, ...] = Field(
        default=(), description="OAuth clients (`azp` or `client_id`) whose tokens are taken; empty means all."
    )
    id_prefix: str | None = Field(
        default=None,
        max_length=128,
        description="Put before the ids of its callers. Default none for the first issuer, host and path of the "
        "issuer for others: two issuers never mean the same caller.",
    )
    allow_private: bool = Field(
        default=False, description="Whether its addresses may lie in private networks, and be http there."
    )
    ca: Path | None = Field(default=None, description="Certificates (PEM) that its own must be signed by.")
    timeout: float = Field(default=5.0, gt=0, le=60, description="Seconds for one request to it.")
    refresh: float = Field(
        default=600.0,
        ge=30,
        le=86_400,
        description="Seconds after which its keys are fetched again; its Cache-Control may shorten that to 30.",
    )
    keep_keys: float = Field(
        default=3600.0,
        ge=0,
        le=7 * 86_400,
        description="Seconds that its last keys go on counting while they cannot be fetched; then its tokens are "
        "refused.",
    )

    @field_validator("audience", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("issuer")
    @classmethod
    def _plain(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("is not an http or https URL")
        if parts.query or parts.fragment:
            raise ValueError("must have neither query nor fragment (RFC 8414)")
        return value

    @field_validator("audience")
    @classmethod
    def _meant(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(not each.strip() or each == "*" for each in value):
            raise ValueError("names this gateway: exact values, at least one, neither empty nor `*`")
        return value

    @field_validator("algorithms")
    @classmethod
    def _some(cls, value: tuple[Algorithm, ...]) -> tuple[Algorithm, ...]:
        if not value:
            raise ValueError("needs an algorithm: without one no token could be verified")
        return value


class AuthConfig(Section):
    """Authentication of the front. With any key or issuer configured every HTTP caller has to say who it is."""

    api_keys: tuple[ApiKey, ...] = Field(default=(), description="Callers known by a key.")
    issuers: tuple[IssuerConfig, ...] = Field(default=(), description="Servers whose tokens are taken.")
    local: LocalPrincipal = Field(default=LocalPrincipal(), description="Who an unauthenticated local caller is.")
    home_tenant: TenantName = Field(
        default="default", description="Tenant whose administrators administer the gateway; others only their tenant."
    )
    scopes: tuple[ScopeName, ...] = Field(
        default=(), description="Scopes that clients are told to ask for; default those that issuers require."
    )
    recheck: float = Field(
        default=2.0,
        gt=0,
        le=300,
        description="Seconds after which an open stream of a caller whose key or token has ended has ended, too.",
    )

    @property
    def asks(self) -> bool:
        """Whether the file names callers, so that none is taken for a local one."""
        return bool(self.api_keys or self.issuers)
