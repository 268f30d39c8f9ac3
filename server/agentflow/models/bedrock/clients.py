"""boto3's clients for Bedrock, one per service and region, made when first needed.

Promises: credentials as configured (a Bedrock API key, access keys, a profile, a role to take over) or else AWS's
default chain; retries in botocore's adaptive mode, which also slows down by itself when it is throttled.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from agentflow.config_models import ProviderConfig

_ROLE_SESSION = "agentflow"


class Clients:
    """boto3 clients of one provider. Methods block, and may be called from any thread.

    Raises: what boto3 raises; `failures.explained` says what it means.
    """

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._session: Any = None
        self._made: dict[tuple[str, str], Any] = {}

    def default_region(self) -> str:
        """The region that AWS's own configuration names, or ""."""
        with self._lock:
            # boto3 does not look at AWS_REGION, which AWS's other tools and its containers set.
            return str(self._core().get_config_variable("region") or os.environ.get("AWS_REGION") or "")

    def made(self, service: str, region: str) -> Any:
        """The client if there is one already, else None. Does not block."""
        return self._made.get((service, region))

    def get(self, service: str, region: str) -> Any:
        """The client of `bedrock` or `bedrock-runtime` in a region."""
        with self._lock:
            client = self._made.get((service, region))
            if client is None:
                client = self._made[(service, region)] = self._make(service, region)
            return client

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

    def _make(self, service: str, region: str) -> Any:
        from botocore.config import Config

        config = self._config
        # With other regions to go to, one repeat here is enough.
        repeats = min(config.retries, 1) if len(config.regions) > 1 else config.retries
        signed = {"signature_version": "bearer"} if self._bearer() is not None else {}
        settings = Config(
            retries={"mode": "adaptive", "total_max_attempts": repeats + 1},
            connect_timeout=min(5.0, config.timeout),
            read_timeout=config.timeout,
            max_pool_connections=config.max_concurrent,
            tcp_keepalive=True,
            user_agent_extra="agentflow",
            **signed,
        )
        return self._core().create_client(
            service, region_name=region, endpoint_url=self._address(service, region), config=settings
        )

    def _address(self, service: str, region: str) -> str | None:
        """`base_url` with its places for `{service}` and `{region}` filled in."""
        base = self._config.base_url
        if base is None or (service == "sts" and "{service}" not in base):
            return None
        return base.replace("{service}", service).replace("{region}", region)

    def _bearer(self) -> str | None:
        """The Bedrock API key, if `api_key` is one; `ID:SECRET[:TOKEN]` are access keys."""
        key = self._config.api_key
        if key is None or key.get_secret_value().startswith(("AKIA", "ASIA")):
            return None
        return key.get_secret_value()

    def _core(self) -> Any:
        """The botocore session with the configured credentials."""
        if self._session is not None:
            return self._session
        import botocore.session

        session = botocore.session.Session(profile=self._config.profile)
        key, bearer = self._config.api_key, self._bearer()
        if bearer is not None:
            session.register_component("token_provider", _Token(bearer))
        elif key is not None:
            identity, _, rest = key.get_secret_value().partition(":")
            secret, _, token = rest.partition(":")
            session.set_credentials(identity, secret, token or None)
        role = self._config.role_arn
        self._session = session if role is None else self._taking_over(session, role)
        return self._session

    def _taking_over(self, own: Any, role: str) -> Any:
        """A session with the role's credentials, which are asked for with those of `own` and renewed in time."""
        import botocore.session
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
        from botocore.exceptions import NoCredentialsError

        credentials = own.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        region = self._config.regions[0] if self._config.regions else own.get_config_variable("region")

        def client(service: str, **given: Any) -> Any:
            address = self._address(service, region or "")
            return own.create_client(service, **{"region_name": region, "endpoint_url": address, **given})

        fetcher = AssumeRoleCredentialFetcher(client, credentials, role, extra_args={"RoleSessionName": _ROLE_SESSION})
        session = botocore.session.Session(profile=self._config.profile)
        taken = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
        session.register_component("credential_provider", _Fixed(taken))
        return session


class _Fixed:
    """A credential provider of botocore that has one set of credentials."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Any:
        return self._credentials


class _Token:
    """A token provider of botocore that has one fixed token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def load_token(self, **_: Any) -> Any:
        from botocore.tokens import FrozenAuthToken

        return FrozenAuthToken(self._token)
