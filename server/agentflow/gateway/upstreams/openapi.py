"""Gets an OpenAPI document, and makes the HTTP client its operations are called with.

Refuses a redirect to another origin (it would take the credentials along), documents and answers larger than
`limits.max_result`, and a document that names no server when the configuration does not either. A document from the
network that names another host than its own leads to the public Internet only, unless it came from a place inside.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import orjson
import yaml
from mcp_types import ToolAnnotations

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import UpstreamUnavailable
from agentflow.gateway.upstreams import reach
from agentflow.gateway.upstreams.openapi_auth import Authorising
from agentflow.identity.downstream import Source
from agentflow.identity.downstream import origin as place_of
from agentflow.identity.fetching import literally_here, permitted

JSON = dict[str, Any]
_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}


def _headers(config: ServerConfig) -> dict[str, str]:
    secrets = {name: value.get_secret_value() for name, value in config.credentials.items()}
    return {**config.headers, **secrets}


async def fetch(name: str, config: ServerConfig, limits: LimitsConfig) -> tuple[JSON, str]:
    """Return the document and the URL it came from ("" for a file).

    Raises:
        UpstreamUnavailable: it cannot be had, or is no OpenAPI document; the message says why.
    """
    spec = config.spec or ""
    remote = spec.startswith(("http://", "https://"))
    data = await _download(name, spec, config, limits) if remote else _read(name, Path(spec), limits)
    try:
        document = orjson.loads(data) if data.lstrip()[:1] == b"{" else yaml.safe_load(data)
    except (orjson.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(name, f"it is neither JSON nor YAML: {str(error)[:120]}") from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise _unusable(name, "it has no `paths`")
    if not str(document.get("openapi", "")).startswith("3."):
        raise _unusable(name, "it is not OpenAPI 3")
    return document, spec if remote else ""


def _unusable(name: str, why: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"{name}: the OpenAPI document cannot be used: {why}", fix="correct `spec`")


def _read(name: str, path: Path, limits: LimitsConfig) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(limits.max_result + 1)
    except OSError as error:
        raise _unusable(name, f"{path}: {error.strerror}") from None
    if len(data) > limits.max_result:
        raise _unusable(name, f"it is larger than {limits.max_result} bytes")
    return data


async def _download(name: str, url: str, config: ServerConfig, limits: LimitsConfig) -> bytes:
    origin = _origin(url)
    bounded = _Bounded(httpx2.AsyncHTTPTransport(), limits.max_result)
    async with httpx2.AsyncClient(transport=bounded, timeout=config.timeout, headers=_headers(config)) as client:
        for _ in range(_REDIRECTS):
            try:
                answer = await client.get(url)
            except httpx2.HTTPError as error:
                raise _unusable(name, f"{url} cannot be read: {str(error) or type(error).__name__}") from None
            if not answer.is_redirect:
                break
            url = urljoin(url, answer.headers.get("location", ""))
            if _origin(url) != origin:
                raise _unusable(name, f"{config.spec} redirects to another server, {_origin(url)}")
    if answer.status_code != 200:
        raise _unusable(name, f"{url} answered HTTP {answer.status_code}")
    return answer.content


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def api_client(
    name: str, config: ServerConfig, limits: LimitsConfig, document: JSON, place: str, source: Source | None = None
) -> httpx2.AsyncClient:
    """Make the client for the API itself; redirects are not followed.

    Args:
        place: the document's own URL, against which a relative server URL is resolved.
        source: the credentials of an entry with `auth`: then `credentials` are for the document alone.

    Raises:
        UpstreamUnavailable: nothing says where the API is.
    """
    base = config.base_url or urljoin(place, _server(document))
    if not base.startswith(("http://", "https://")):
        raise UpstreamUnavailable(f"{name}: nothing says where the API is", fix="set `base_url`")
    if source is not None and place_of(base) != place_of(source.url):
        what = f"{name}: its document says that the API is somewhere else than the entry does"
        raise UpstreamUnavailable(what, fix="set `base_url`: callers' credentials go to no other place")
    inner: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport() if source is None else Authorising(source)
    if not config.base_url and _leads_elsewhere(place, base):
        inner = _Judged(inner, name, _inside(place))
    return httpx2.AsyncClient(
        base_url=base,
        headers=_headers(config) if source is None else config.headers,
        timeout=config.timeout,
        transport=_Bounded(inner, limits.max_result),
    )


async def judge(name: str, config: ServerConfig, document: JSON, place: str) -> None:
    """Look once, before the first call, whether the API is where its document may say that it is.

    Raises:
        UpstreamUnavailable: only the document says so, and it is no place that a document may name.
    """
    base = urlsplit(urljoin(place, _server(document)))
    if not config.base_url and base.hostname and _leads_elsewhere(place, base.geturl()):
        await _addresses(base.hostname, base.port or _PORTS.get(base.scheme, 443), name, _inside(place))


async def _addresses(host: str, port: int, name: str, private: bool) -> list[str]:
    try:
        return await reach.resolved(host, port, f"{name}: the API that its document names", private)
    except UpstreamUnavailable as error:
        raise UpstreamUnavailable(str(error), fix="set `base_url` if it is meant to be there", sent=False) from None


def _leads_elsewhere(place: str, base: str) -> bool:
    """Whether a document from the network names another host than the one that it came from."""
    return bool(place) and urlsplit(place).hostname != urlsplit(base).hostname


def _inside(place: str) -> bool:
    """Whether an address as it is written is this machine's or a private network's."""
    host = urlsplit(place).hostname or ""
    try:
        return literally_here(host) or not permitted(ipaddress.ip_address(host), False)
    except ValueError:
        return False


def _server(document: JSON) -> str:
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    if not isinstance(first, dict):
        return ""
    url = str(first.get("url", ""))
    variables = first.get("variables")
    for variable, about in (variables if isinstance(variables, dict) else {}).items():
        if isinstance(about, dict):
            url = url.replace(f"{{{variable}}}", str(about.get("default", "")))
    return url


def annotate(route: Any, component: Any) -> None:
    """Give a tool the hints that its HTTP method implies (RFC 9110, 9.2)."""
    method = str(route.method).upper()
    read_only = method in ("GET", "HEAD", "OPTIONS")
    component.annotations = ToolAnnotations(
        read_only_hint=read_only,
        idempotent_hint=read_only or method in ("PUT", "DELETE"),
        destructive_hint=method in ("PUT", "PATCH", "DELETE"),
        open_world_hint=True,
    )


class _Judged(httpx2.AsyncBaseTransport):
    """Connects to the very address that was judged: a name that changes its mind leads nowhere else."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, name: str, private: bool) -> None:
        self._inner = inner
        self._name = name
        self._private = private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            found = await _addresses(url.host, url.port or _PORTS.get(url.scheme, 443), self._name, self._private)
        except UpstreamUnavailable as error:
            raise httpx2.ConnectError(str(error), request=request) from None
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=found[0])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncBaseTransport):
    """Refuses a body longer than `limit` bytes instead of collecting it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream, self._limit, request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int, request: httpx2.Request) -> None:
        self._inner = inner
        self._limit = limit
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._inner:
            seen += len(chunk)
            if seen > self._limit:
                raise httpx2.ReadError(f"the answer is longer than {self._limit} bytes", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
