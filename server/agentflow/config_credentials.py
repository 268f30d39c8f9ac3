"""The settings of how callers are known to a server behind the gateway (`auth:` of an entry of `mcpServers`).

Without it every call goes out under the gateway's own `credentials`. With it each principal has one of its own, and a
principal that has none is refused: nobody ever borrows another's, nor the gateway's.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from agentflow.config_base import Section

AuthType = Literal["static", "oauth", "token_exchange", "client_credentials"]
TokenAuth = Literal["auto", "client_secret_basic", "client_secret_post", "none"]

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
_PLACE = "{value}"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_TEXT = re.compile(r"[ -~]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What the transports say themselves.
_TAKEN = frozenset(
    {"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "upgrade", "accept"}
    | {"accept-encoding", "last-event-id", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"}
)
# Which settings mean something for which type; every other one there is a mistake.
_CLIENT = {"client_id", "client_secret", "token_auth", "scopes", "audience", "resource", "allow_private", "timeout"}
_MEANT: dict[str, set[str]] = {
    "static": {"headers", "env", "listing"},
    "oauth": _CLIENT | {"issuer", "authorization_url", "token_url", "registration", "listing"},
    "token_exchange": _CLIENT | {"issuer", "token_url", "subject_token_type", "requested_token_type", "listing"},
    "client_credentials": _CLIENT | {"issuer", "token_url"},
}


class UpstreamAuth(Section):
    """How the calls of each principal are authorised at one server. `auth: oauth` alone is enough for many."""

    type: AuthType = Field(
        description="`static`: a value that each principal has (`agentflow credentials set`); `oauth`: each principal "
        "connects once in the browser (authorization code with PKCE); `token_exchange`: the caller's own JWT is "
        "exchanged for one of this server's (RFC 8693); `client_credentials`: one token of the gateway's own."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="static: headers that carry the value, `{value}` standing for it; default Authorization: "
        "'Bearer {value}'.",
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="static, stdio servers: environment variables of the principal's own child process, `{value}` "
        "standing for the value.",
    )
    issuer: str | None = Field(
        default=None,
        description="The authorization server; default the one that the server names (RFC 9728). Any other is refused.",
    )
    authorization_url: str | None = Field(
        default=None, description="oauth: where people are sent, for servers without metadata; with `token_url`."
    )
    token_url: str | None = Field(
        default=None, description="The token endpoint; default what the issuer's metadata says."
    )
    client_id: str | None = Field(
        default=None,
        description="What this gateway is called there; default its client id metadata document where the server takes "
        "one and `serve.public_url` is https, or else dynamic registration (RFC 7591).",
    )
    client_secret: SecretStr | None = Field(default=None, description="Secret of that client, as ${VAR}.")
    token_auth: TokenAuth = Field(
        default="auto", description="How the client authenticates at the token endpoint; auto: as its metadata says."
    )
    registration: bool = Field(default=True, description="oauth: whether the gateway may register itself (RFC 7591).")
    scopes: tuple[str, ...] = Field(default=(), description="Scopes to ask for; default what the server says it needs.")
    audience: str | None = Field(
        default=None, description="`audience` of the token asked for, for servers that go by it (RFC 8693)."
    )
    resource: str | None = Field(
        default=None,
        description="`resource` of the token asked for (RFC 8707); default the server's address. Empty: none is sent.",
    )
    subject_token_type: str = Field(
        default=JWT_TYPE, description="token_exchange: what the caller's token is said to be (RFC 8693, section 3)."
    )
    requested_token_type: str | None = Field(
        default=ACCESS_TOKEN_TYPE, description="token_exchange: what is asked for in return."
    )
    allow_private: bool = Field(
        default=False,
        description="Whether addresses that the server or its issuer names may lie in private networks. Those written "
        "in this file may in any case.",
    )
    timeout: float = Field(
        default=10.0, gt=0, le=60, description="Seconds for one request to the authorization server."
    )
    listing: Literal["service", "principal"] = Field(
        default="principal",
        description="Who asks what the server offers. `service`: the gateway, with `credentials` or without any. "
        "`principal`: where it refuses the gateway, each principal for itself, and nobody sees another's offer.",
    )

    @property
    def personal(self) -> bool:
        """Whether each principal has a credential of its own."""
        return self.type != "client_credentials"

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        return {"type": data} if isinstance(data, str) else data

    @field_validator("issuer", "authorization_url", "token_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.fragment
        except ValueError:
            good = False
        if not good:
            raise ValueError("is not an http or https URL")
        return value

    @model_validator(mode="after")
    def _complete(self) -> UpstreamAuth:
        for name in sorted(self.model_fields_set - {"type"} - _MEANT[self.type]):
            raise ValueError(f"`{name}` means nothing with type {self.type!r}")
        for where in (self.headers, self.env):
            if where and not any(_PLACE in value for value in where.values()):
                raise ValueError("`headers` and `env` must hold `{value}` somewhere: that is where the credential goes")
        for name, text in self.headers.items():
            if not _NAME.fullmatch(name) or name.lower() in _TAKEN or not _TEXT.fullmatch(text):
                raise ValueError(f"header {name[:60]!r} cannot carry a credential: HTTP or MCP does not allow it")
        for name, text in self.env.items():
            if not _VARIABLE.fullmatch(name) or "\0" in text:
                raise ValueError(f"{name[:60]!r} is no environment variable")
        if self.authorization_url and not self.token_url:
            raise ValueError("`authorization_url` needs `token_url`")
        if self.type == "oauth" and self.token_url and not self.authorization_url:
            raise ValueError("`token_url` needs `authorization_url`")
        if self.authorization_url and not self.client_id:
            raise ValueError("`authorization_url` needs `client_id`")
        if self.type in ("token_exchange", "client_credentials") and not self.client_id:
            raise ValueError(f"type {self.type!r} needs `client_id`")
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("`client_secret` needs `client_id`")
        return self

    def carried(self, value: str) -> dict[str, str]:
        """static: the headers that carry this value."""
        shown = self.headers or {"Authorization": "Bearer {value}"}
        return {name: text.replace(_PLACE, value) for name, text in shown.items()}

    def inherited(self, value: str) -> dict[str, str]:
        """static: the environment of a child process that acts with this value."""
        return {name: text.replace(_PLACE, value) for name, text in self.env.items()}


def check_fits(auth: UpstreamAuth, kind: str) -> None:
    """Refuse what a kind of server cannot do.

    Raises:
        ValueError: it has no way to carry such credentials.
    """
    if kind == "tools":
        raise ValueError("`auth` means nothing for tool files: they run in the gateway itself")
    if kind == "stdio" and (auth.type != "static" or not auth.env or auth.headers):
        raise ValueError(
            "a stdio server takes credentials in its environment only: `auth: {type: static, env: {TOKEN: '{value}'}}`"
        )
    if kind != "stdio" and auth.env:
        raise ValueError("`auth.env` is for stdio servers; this one takes `auth.headers`")
