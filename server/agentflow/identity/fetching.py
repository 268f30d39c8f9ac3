"""Gets small JSON documents from addresses that somebody else may have chosen: an issuer's metadata and keys.

It promises that a name is resolved once and connected to where that said and nowhere else, that no redirect is
followed, that an answer is read up to a limit of bytes and seconds, and that only https is spoken beyond this machine
and the networks that the operator opens. It refuses addresses of private networks, of this machine, link-local ones
(cloud metadata) and whatever else is not the public Internet, also where they are wrapped in an IPv6 address
(RFC 6890, RFC 6052, RFC 3056; OWASP, SSRF prevention).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

if TYPE_CHECKING:
    import httpx2

JSON = dict[str, Any]
T = TypeVar("T")
MAX_DOCUMENT: Final = 512 * 1024  # bytes
_ADDRESSES: Final = 4  # of one host that are tried
# Metadata services of clouds that have no link-local address.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "192.0.0.192", "168.63.129.16", "100.100.100.200"))
)
_SPECIAL: Final = ipaddress.ip_network("192.0.0.0/24")  # IETF protocol assignments (RFC 6890)
_UNICAST: Final = ipaddress.ip_network("2000::/3")  # all of IPv6 that is the public Internet (RFC 4291)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NO_STORE: Final = re.compile(r"(?:^|[,\s])no-(?:store|cache)\b", re.IGNORECASE)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchFailed(Exception):
    """A document could not be had. `code` is one word of ours; the text names no more than the address."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Fetched:
    """A JSON object, and for how many seconds its sender says that it may be kept (None where it does not say)."""

    body: JSON
    max_age: float | None


@dataclass(slots=True)
class Fetcher:
    """Gets documents.

    Attributes:
        trusted: hosts that the operator's own file names; those of them that are literally this machine may be asked.
        allow_private: whether addresses of private networks may be asked, also in the clear.
        ca: certificates that a server's own must be signed by; default those of the system.
        timeout: seconds for all of one document.
    """

    trusted: frozenset[str] = frozenset()
    allow_private: bool = False
    ca: Path | None = None
    timeout: float = 5.0
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    async def get(self, url: str) -> Fetched:
        """Get the JSON object at `url`.

        Raises:
            FetchFailed: it cannot be had, or may not be asked for.
        """

        async def document(answer: httpx2.Response) -> Fetched:
            return _document(url, answer.status_code, answer.headers, await body_of(url, answer))

        return await self.send(url, "GET", None, {}, document)

    async def send(
        self,
        url: str,
        method: str,
        content: bytes | None,
        headers: Mapping[str, str],
        read: Callable[[httpx2.Response], Awaitable[T]],
    ) -> T:
        """Send one request, and return what `read` makes of the answer; a redirect is an answer like any other.

        Raises:
            FetchFailed: there is no answer, or the address may not be asked.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._sent(url, method, content, headers, read)
        except TimeoutError:
            raise FetchFailed("timeout", f"{_shown(url)} did not answer within {self.timeout:g} s") from None

    async def _sent(
        self,
        url: str,
        method: str,
        content: bytes | None,
        headers: Mapping[str, str],
        read: Callable[[httpx2.Response], Awaitable[T]],
    ) -> T:
        import httpx2

        parts, host, port = split(url)
        addresses = await self._resolved(url, parts, host, port)
        sent = {"accept": "application/json", "accept-encoding": "identity", **headers, "host": parts.netloc}
        try:
            if parts.scheme == "https" and self._context is None:  # reading the certificates takes some 20 ms
                self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self.ca and str(self.ca))
            client = httpx2.AsyncClient(verify=self._context or False, trust_env=False, timeout=self.timeout)
            async with client:
                for address in addresses:
                    pinned = f"[{address}]" if address.version == 6 else str(address)
                    target = urlunsplit((parts.scheme, f"{pinned}:{port}", parts.path or "/", parts.query, ""))
                    asked = client.build_request(
                        method, target, content=content, headers=sent, extensions={"sni_hostname": host}
                    )
                    try:
                        answer = await client.send(asked, stream=True, follow_redirects=False)
                    except httpx2.ConnectError:  # nothing was sent: the host's next address, if it has one
                        if address is addresses[-1]:
                            raise
                        continue
                    try:
                        return await read(answer)
                    finally:
                        await answer.aclose()
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            why = type(error).__name__
            raise FetchFailed("unreachable", f"{_shown(url)} cannot be reached ({why})") from None
        raise FetchFailed("unresolved", f"{_shown(url)}: there is no such host")

    async def _resolved(self, url: str, parts: SplitResult, host: str, port: int) -> list[Address]:
        """The addresses that may be connected to, none but these."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise FetchFailed("unresolved", f"{_shown(url)}: there is no such host") from None
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        own = host in self.trusted and literally_here(host)
        for address in addresses:
            if not (permitted(address, self.allow_private) or (own and embedded(address).is_loopback)):
                raise FetchFailed("forbidden_address", f"{_shown(url)} is no public address; see `allow_private`")
        if parts.scheme != "https" and not all(not embedded(each).is_global for each in addresses):
            raise FetchFailed("insecure", f"{_shown(url)} is not https")
        return list(dict.fromkeys(addresses))[:_ADDRESSES]


def split(url: str) -> tuple[SplitResult, str, int]:
    """`url` in its parts, with its host (lower case) and port.

    Raises:
        FetchFailed: it is not an http or https URL with a host and without a user.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FetchFailed("not_a_url", "the address is not a URL") from None
    strange = any(character <= " " or character in "\\\x7f" for character in url)
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or strange:
        raise FetchFailed("not_a_url", f"{_shown(url)} is not a plain http or https URL")
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def literally_here(host: str) -> bool:
    """Whether a host as written is this machine, without asking anybody what it means."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def permitted(address: Address, allow_private: bool) -> bool:
    """Whether documents may be asked for there."""
    address = embedded(address)
    if address.is_multicast or address.is_link_local or address.is_unspecified or address in _METADATA:
        return False
    if allow_private:
        return address.is_loopback or not address.is_reserved
    return address.is_global and address not in _SPECIAL and (address.version == 4 or address in _UNICAST)


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to (mapped, NAT64, 6to4, Teredo), or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or int(address) >> 32 == 0:  # NAT64, and IPv4-compatible
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address if int(inner) <= 1 else inner
    return address


async def body_of(url: str, answer: httpx2.Response) -> bytes:
    """The body of an answer.

    Raises:
        FetchFailed: it is too large.
    """
    chunks, size = [], 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > MAX_DOCUMENT:
            raise FetchFailed("too_large", f"{_shown(url)} answered more than {MAX_DOCUMENT} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _document(url: str, status: int, headers: Any, body: bytes) -> Fetched:
    if 300 <= status < 400:
        raise FetchFailed("redirect", f"{_shown(url)} redirects; write the address that it leads to")
    if status != 200:
        raise FetchFailed("status", f"{_shown(url)} answered HTTP {status}")
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchFailed("not_json", f"{_shown(url)} answered something that is not JSON") from None
    if not isinstance(read, dict):
        raise FetchFailed("not_json", f"{_shown(url)} answered something that is not a JSON object")
    said = headers.get("cache-control", "")
    found = _MAX_AGE.search(said)
    age = 0.0 if _NO_STORE.search(said) else float(found[1]) if found else None
    return Fetched(read, age)


def _shown(url: str) -> str:
    """The address without what may be secret in it: user, query, fragment."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{(parts.hostname or '')}{':' + str(parts.port) if parts.port else ''}{parts.path}"[
            :200
        ]
    except ValueError:
        return "the address"
