"""Everything that must not be seen: personal data and secrets, found by one matcher.

It promises matches in order that do not overlap: where a secret and personal data compete for the same text
(`user:pw@example.com`), the surer and then the longer one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.guard.spans import Match, Matcher, merged


class SensitiveMatcher:
    """Finds personal data and secrets in text.

    Args:
        secrets: None to look for personal data only.
        tenants: the matchers of personal data of tenants with recognisers of their own.
    """

    def __init__(
        self, pii: PiiMatcher, secrets: SecretMatcher | None = None, tenants: Mapping[str, PiiMatcher] | None = None
    ) -> None:
        self._pii = pii
        self._secrets = secrets
        self._tenants = {tenant: SensitiveMatcher(own, secrets) for tenant, own in (tenants or {}).items()}
        self.types = pii.types | secrets.types if secrets is not None else pii.types

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no"."""
        return self._pii.suspect(data) or (self._secrets is not None and self._secrets.suspect(data))

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the values in `text`, in order.

        Args:
            context: what stands before the text, such as the key of the member that holds it: evidence only.
        """
        personal = self._pii.find(text, context)
        if self._secrets is None:
            return personal
        secret = self._secrets.find(text, context)
        if not secret:
            return personal
        return merged([*personal, *secret]) if personal else secret

    def narrowed(self, data: bytes) -> Matcher | None:
        """Return a matcher that finds as much in the strings of this serialised JSON and looks for no more, if any."""
        personal = self._pii.suspect(data)
        if self._secrets is None or not self._secrets.suspect(data):
            return self._pii if personal else None
        return self if personal else self._secrets

    def also(self, types: Iterable[str]) -> SensitiveMatcher:
        """Return a matcher that looks for the known types among `types` as well: this one, where it does already."""
        pii = self._pii.also(types)
        return self if pii is self._pii else SensitiveMatcher(pii, self._secrets)

    def for_tenant(self, tenant: str) -> SensitiveMatcher:
        """Return the matcher for what belongs to `tenant`."""
        return self._tenants.get(tenant, self) if self._tenants else self

    def mask(self, text: str, keep: frozenset[str] = frozenset()) -> str:
        """Return the text with every value replaced by its type, irreversibly: for logs and reasons.

        Args:
            keep: types that stay.
        """
        parts, at = [], 0
        for match in self.find(text):
            if match.type in keep:
                continue
            parts += [text[at : match.start], f"<{match.type}>"]
            at = match.end
        return "".join([*parts, text[at:]]) if parts else text
