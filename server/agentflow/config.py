"""The settings, as typed models: what `agentflow.yaml` may say and what it means when it says nothing.

Reading, expanding and checking the file, and putting the environment over it, is `settings/file.py`'s business:
a `Config` made in code is exactly what it was given. Unknown keys are errors, secrets are `SecretStr`, and every
default is the safe one. The descriptions here are the ones `agentflow config schema` prints.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from agentflow.config_admin import AdminConfig
from agentflow.config_approvals import ApprovalsConfig
from agentflow.config_auth import AuthConfig, TenantName
from agentflow.config_base import PostgresUrl, Section
from agentflow.config_credentials import UpstreamAuth, check_fits
from agentflow.config_flow import FlowConfig
from agentflow.config_guard import GuardConfig
from agentflow.config_models import ModelsConfig
from agentflow.paths import default_data_dir

S = TypeVar("S", bound=Section)
ServerType = Literal["stdio", "http", "sse", "openapi", "tools"]
LogLevel = Literal["debug", "info", "warning", "error"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host` (a name or an address, brackets or not)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ServerConfig(Section):
    """One entry of `mcpServers`, as MCP clients write it, plus what a gateway needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: ServerType | None = Field(
        default=None,
        description="Kind of server. Inferred when absent: `command` means stdio, `url` http (sse when its path ends "
        "in /sse), `spec` openapi, `path` tools.",
    )
    url: str | None = Field(default=None, description="Address of an http or sse server.")
    command: str | None = Field(default=None, description="Program of a stdio server.")
    args: tuple[str, ...] = Field(default=(), description="Arguments of `command`.")
    env: dict[str, str] = Field(default_factory=dict, description="Environment of a stdio server; use ${VAR}.")
    cwd: Path | None = Field(
        default=None,
        description="Working directory of a stdio server; by default the folder of the configuration file.",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Headers sent with each request; no secrets.")
    path: Path | None = Field(default=None, description="Folder of tool files (type tools).")
    spec: str | None = Field(default=None, description="URL or file of an OpenAPI document (type openapi).")
    base_url: str | None = Field(default=None, description="Overrides the OpenAPI document's own servers.")
    disabled: bool = Field(default=False, description="Leave this server out.")
    auto_approve: tuple[str, ...] = Field(
        default=(),
        validation_alias=AliasChoices("autoApprove", "auto_approve", "alwaysAllow"),
        description="Tools that need no approval, by the server's own names.",
    )
    namespace: str | None = Field(
        default=None,
        description="Prefix of exposed names, <namespace>__<tool>. Default the server's name; empty for none.",
    )
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Server's tool name to the name shown instead; no namespace is added to it."
    )
    allow: tuple[str, ...] = Field(default=(), description="Globs over the server's own tool names; empty means all.")
    deny: tuple[str, ...] = Field(default=(), description="Globs over the server's own tool names; wins over `allow`.")
    timeout: float = Field(default=60.0, gt=0, le=86_400, description="Seconds for one request.")
    trust: Literal["trusted", "untrusted"] = Field(
        default="untrusted",
        description="Whether it may be given real values for PII tokens, and whether what it returns is taken as "
        "data from a stranger (untrusted).",
    )
    reach: Literal["any", "public"] = Field(
        default="any",
        description="`public`: an http or sse server is connected to only where every address of its name is one of "
        "the open Internet.",
    )
    sensitivity: Literal["public", "private"] = Field(
        default="public", description="Whether what it returns is private to this installation."
    )
    tenants: tuple[TenantName, ...] = Field(
        default=(),
        description="Tenants whose callers may know of this server and use it, whatever the policy says; empty: all.",
    )
    env_allow: tuple[str, ...] = Field(
        default=(), description="Names of the gateway's own environment variables a stdio server may inherit."
    )
    credentials: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Headers that hold secrets, added to each request: {Authorization: 'Bearer ${TOKEN}'}.",
    )
    auth: UpstreamAuth | None = Field(
        default=None,
        description="How each caller is known to this server: `oauth`, or {type: …}. Without it every call goes out "
        "under the gateway's own `credentials`.",
    )
    description: str | None = Field(default=None, description="For people; not sent anywhere.")

    @model_validator(mode="before")
    @classmethod
    def _infer(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        kind = data.get("type") or data.pop("transport", None)
        kind = {"streamable-http": "http", "streamableHttp": "http", "local": "stdio"}.get(str(kind), kind)
        if kind is None:
            url = data.get("url")
            if data.get("command"):
                kind = "stdio"
            elif isinstance(url, str):
                kind = "sse" if url.split("?")[0].rstrip("/").endswith("/sse") else "http"
            elif data.get("spec"):
                kind = "openapi"
            elif data.get("path"):
                kind = "tools"
        data["type"] = kind
        return data

    @model_validator(mode="after")
    def _complete(self) -> ServerConfig:
        needed = {"stdio": "command", "http": "url", "sse": "url", "openapi": "spec", "tools": "path"}
        if self.type is None:
            raise ValueError("needs one of `command`, `url`, `spec` or `path`")
        if getattr(self, needed[self.type]) is None:
            raise ValueError(f"type {self.type!r} needs `{needed[self.type]}`")
        if self.auth is not None:
            check_fits(self.auth, self.type)
        return self


class RateClass(Section):
    """How often one caller may make calls that policy counts in this class (obligation `rate_class`)."""

    calls_per_minute: int = Field(gt=0, description="Calls per minute of one caller in this class.")


class LimitsConfig(Section):
    """Bounds on what one caller can make the gateway do. Sizes are bytes, times seconds.

    Gateways that share a PostgreSQL store (`store.url`) count calls per minute together; everything else is of each.
    """

    max_body: int = Field(default=4 * 1024 * 1024, gt=0, description="Largest request body, bytes.")
    max_depth: int = Field(default=100, gt=0, le=500, description="Deepest nesting of a JSON body.")
    max_header: int = Field(default=32 * 1024, ge=1024, description="Largest request header block, bytes.")
    max_concurrent: int = Field(default=512, gt=0, description="Calls in flight, all callers together.")
    max_concurrent_per_principal: int = Field(default=128, gt=0, description="Calls in flight of one caller.")
    calls_per_minute: int = Field(default=0, ge=0, description="Calls per minute of one caller; 0 means unlimited.")
    classes: dict[str, RateClass] = Field(
        default_factory=dict, description="Rate classes by name, for policies that set a `rate_class`."
    )
    request_read_timeout: float = Field(default=15.0, gt=0, description="Seconds a client has to send its request.")
    max_result: int = Field(default=32 * 1024 * 1024, gt=0, description="Largest answer of a server, bytes.")
    max_tools_per_server: int = Field(default=20_000, gt=0, description="Most tools one server may list.")
    max_sessions: int = Field(default=10_000, gt=0, description="Client sessions remembered at once.")


class StageConfig(Section):
    """How one stage behaves: `off` leaves it out, `audit` lets one that only judges report without refusing."""

    mode: Literal["enforce", "audit", "off"] = Field(
        default="enforce",
        description="`audit` reports without refusing, or leaving anything out of a listing (stages that turn values "
        "into tokens and back go on doing so); `off` leaves the stage out.",
    )
    fail: Literal["closed", "open"] = Field(
        default="closed", description="What happens to the call when the stage itself breaks: refused, or let through."
    )
    timeout: float = Field(
        default=30.0,
        gt=0,
        description="Seconds for one look of a stage that waits for something; `approve` waits as long as policy says.",
    )


class PipelineConfig(Section):
    """Order and behaviour of the stages. An `order` names every stage once; see `pipeline/chain.py`."""

    order: tuple[str, ...] = Field(
        default=(), description="Stages in the order they run; empty means the default order."
    )
    stages: dict[str, StageConfig] = Field(default_factory=dict, description="Behaviour by stage name.")


class OpaConfig(Section):
    """A running Open Policy Agent, asked over its REST API."""

    url: str = Field(default="", description="Its address, e.g. https://opa.internal:8181.")
    path: str = Field(
        default="agentflow/decision",
        pattern=r"^[A-Za-z_]\w*(/[A-Za-z_]\w*)*$",
        description="The document to ask for, below /v1/data.",
    )
    token: SecretStr | None = Field(default=None, description="Bearer token; use ${VAR}.")
    ca: Path | None = Field(default=None, description="Certificates (PEM) that its own must be signed by.")
    timeout: float = Field(default=1.0, gt=0, description="Seconds for one answer; a late one is a refusal.")
    cache: float = Field(
        default=2.0, ge=0, description="Seconds an answer may be reused: so long a change in OPA may go unseen."
    )
    failures: int = Field(default=5, ge=1, description="Failures in a row after which it is left alone for a while.")
    pause: float = Field(default=5.0, gt=0, description="Seconds until it is tried again; calls are refused meanwhile.")
    last_known_good: float = Field(
        default=0.0,
        ge=0,
        description="While it cannot be reached, its last answer to an equal question counts if no older than so "
        "many seconds; 0, the default, refuses at once.",
    )


class PolicyConfig(Section):
    """Where the Rego bundle is; None means the one that ships with AgentFlow. `data` is merged over its data.json."""

    engine: Literal["embedded", "opa"] = Field(
        default="embedded", description="What evaluates it: the gateway itself, or the OPA at `opa.url`."
    )
    opa: OpaConfig = Field(default=OpaConfig(), description="Where OPA is, for `engine: opa`.")
    bundle: Path | None = Field(
        default=None, description="Folder or OPA bundle (tar.gz) of the policy; default the one that is shipped."
    )
    layers: tuple[Path, ...] = Field(
        default=(),
        description="Folders laid over the bundle: their Rego joins it, their data.json is merged over its own. "
        "`library/NAME` is an example that ships.",
    )
    data: dict[str, Any] = Field(default_factory=dict, description="Merged over the bundle's data.json.")
    timeout: float = Field(default=1.0, gt=0, description="Seconds for one decision; a late one is a refusal.")
    cache_size: int = Field(
        default=4096, ge=0, description="Decisions kept for equal inputs; 0 switches the cache off."
    )


class AuditConfig(Section):
    """The audit log. `fsync`: `never` survives a kill of the process, `always` also a power cut."""

    fsync: Literal["never", "always"] = Field(
        default="never", description="`never` survives a kill of the process, `always` a power cut too."
    )
    segment_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="Size at which a new segment file is begun.")
    signing_key: SecretStr | None = Field(
        default=None,
        description="Ed25519 key that signs the heads of the chains, PEM or 32 bytes in base64, as ${VAR}; default "
        "audit.key in the data directory, made at the first start.",
    )
    sign_every: int = Field(default=256, gt=0, description="Records after which a head is signed at the latest.")
    sign_after: float = Field(default=2.0, gt=0, description="Seconds after which a head is signed at the latest.")
    keep_days: float = Field(
        default=0.0, ge=0, description="Days that records are kept; older segments are retired. 0 keeps them for ever."
    )
    keep_bytes: int = Field(
        default=0, ge=0, description="Bytes that all segments together may take; the oldest are retired. 0: no limit."
    )
    index: bool = Field(default=True, description="Keep a database of where records are, for `agentflow audit query`.")
    index_url: PostgresUrl | None = Field(
        default=None,
        description="PostgreSQL database of the index, postgresql://…, as ${VAR}; default store.url, and without it "
        "audit.db in the data directory, which `null` says too.",
    )


class StoreConfig(Section):
    """The database of keys, approvals, credentials, shared limits and uploaded policies."""

    url: PostgresUrl | None = Field(
        default=None,
        description="postgresql://… for several gateways, as ${VAR}, also for vault, taint, pins and audit index where "
        "their own `url` says nothing; default agentflow.db in data_dir.",
    )


class CatalogueConfig(Section):
    """How the merged catalogue is shown. With `search_threshold` > 0 a larger catalogue is replaced by
    `search_tools` and `call_tool`."""

    separator: str = Field(
        default="__", pattern=r"^[A-Za-z0-9_.\-]{1,4}$", description="Between namespace and the server's own name."
    )
    page_size: int = Field(default=1000, gt=0, le=10_000, description="Items in one page of a listing.")
    search_threshold: int = Field(
        default=0,
        ge=0,
        description="A catalogue with more tools is replaced by search_tools and call_tool; 0 means never.",
    )


_IN_PATHS = r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]"  # RFC 3986, appendix A: what a header can hold as it is


class ServeConfig(Section):
    """The front. `allowed_hosts`/`allowed_origins` add to the loopback names and the bound address."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; beyond loopback callers must say who they are (`auth`)."
    )
    port: int = Field(default=8808, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    path: str = Field(default="/mcp", pattern=rf"^/{_IN_PATHS}*$", description="Path of the MCP endpoint.")
    public_url: str | None = Field(
        default=None,
        pattern=rf"^https?://[A-Za-z0-9.:_\[\]-]+(/{_IN_PATHS}*)?$",
        description="Address that clients reach the gateway by, without `path`: https://gateway.example.org.",
    )
    allowed_hosts: tuple[str, ...] = Field(default=(), description="Further `Host` values that are answered.")
    allowed_origins: tuple[str, ...] = Field(default=(), description="Further `Origin` values that are answered.")
    log_level: LogLevel = Field(default="info", description="What is logged to stderr.")


def _kept_in(section: S, field: str, url: SecretStr) -> S:
    return section if field in section.model_fields_set else section.model_copy(update={field: url})


class Config(BaseSettings):
    """The whole configuration of the gateway.

    Environment variables `AGENTFLOW_<SECTION>__<KEY>` override the file (`AGENTFLOW_SERVE__PORT=9000`),
    `AGENTFLOW_DATA_DIR` the data directory; see `Environment`.
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENTFLOW_", env_nested_delimiter="__", extra="forbid", frozen=True, populate_by_name=True
    )

    mcp_servers: dict[str, ServerConfig] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("mcpServers", "mcp_servers", "AGENTFLOW_MCP_SERVERS"),
        description="The servers behind the gateway, by name.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Where everything that persists lives (mode 0700); default the platform's user data folder.",
    )
    serve: ServeConfig = Field(default=ServeConfig(), description="The front.")
    auth: AuthConfig = Field(default=AuthConfig(), description="Who may call.")
    limits: LimitsConfig = Field(
        default=LimitsConfig(), description="Bounds on what one caller can make the gateway do."
    )
    pipeline: PipelineConfig = Field(default=PipelineConfig(), description="Order and behaviour of the stages.")
    guard: GuardConfig = Field(default=GuardConfig(), description="PII and injection.")
    policy: PolicyConfig = Field(default=PolicyConfig(), description="The Rego bundle.")
    approvals: ApprovalsConfig = Field(default=ApprovalsConfig(), description="People's consent to calls.")
    audit: AuditConfig = Field(default=AuditConfig(), description="The audit log.")
    store: StoreConfig = Field(default=StoreConfig(), description="The database.")
    admin: AdminConfig = Field(default=AdminConfig(), description="The REST interface and the page.")
    catalogue: CatalogueConfig = Field(default=CatalogueConfig(), description="How the merged catalogue is shown.")
    models: ModelsConfig = Field(default=ModelsConfig(), description="Language models.")
    flow: FlowConfig = Field(default=FlowConfig(), description="Planner, executor, verifier, solver.")
    tools: tuple[Path, ...] = Field(default=(), description="Further folders of tool files, beside the shipped one.")

    @model_validator(mode="after")
    def _one_database(self) -> Config:
        """`store.url` stands for the addresses that are not given; a given `null` stays: that one is kept in files."""
        url = self.store.url
        if url is not None:
            vault, pins = _kept_in(self.guard.vault, "url", url), _kept_in(self.guard.pins, "url", url)
            object.__setattr__(self, "guard", self.guard.model_copy(update={"vault": vault, "pins": pins}))
            object.__setattr__(self, "audit", _kept_in(self.audit, "index_url", url))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: the environment is put over the file by `settings.file.load`, where its mistakes
        can be reported beside the file's."""
        return (init_settings,)


class Environment(EnvSettingsSource):
    """The `AGENTFLOW_*` variables of a given environment, as values for `Config`; no other name means anything.

    A section's key follows two underscores, lists and mappings are JSON: `AGENTFLOW_SERVE__PORT=9000`,
    `AGENTFLOW_TOOLS='["/srv/tools"]'`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Config)
        self.env_vars = {k.lower(): v for k, v in environ.items() if k.upper().startswith("AGENTFLOW_")}
