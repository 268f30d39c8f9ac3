"""The port of what decides: the embedded engine or an OPA, chosen by the configuration."""

from __future__ import annotations

from typing import Protocol

from agentflow.config import PolicyConfig
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.bundle import Bundle
from agentflow.policy.engine import Engine


class PolicyEngine(Protocol):
    """Decides calls. Whatever keeps the policy from answering is a denial with that as its reason.

    Attributes:
        bundle: what is known of the policy: what it reads, its data.
        revision: names the policy that decides now.
        epoch: what was decided in another epoch is to be asked again, whatever the revision.
    """

    @property
    def bundle(self) -> Bundle: ...

    @property
    def revision(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    def reads(self, *path: str) -> bool:
        """Whether the policy can read this part of the input document, e.g. `reads("call", "arguments")`."""
        ...

    def known(self, document: JSON) -> Decision | None:
        """Return the decision for this input if it was taken before and still holds; never waits."""
        ...

    def decide(self, document: JSON) -> Decision:
        """Return the decision for this input; may wait."""
        ...

    async def decide_soon(self, *documents: JSON) -> list[Decision]:
        """Return the decisions for these inputs, in order, without holding up the event loop."""
        ...

    def close(self) -> None:
        """Free what it holds; questions asked later are denied. Idempotent."""
        ...


def build(config: PolicyConfig, bundle: Bundle | None = None) -> PolicyEngine:
    """Return the configured engine.

    Args:
        bundle: what it decides by in place of the configured bundle; tested before. An OPA has its own.

    Raises:
        ConfigError: it cannot be built; `problems` says why where the bundle is refused.
    """
    if config.engine == "opa":
        from agentflow.policy.opa import OpaEngine  # with its HTTP client

        return OpaEngine(config)
    return Engine(config, bundle=bundle, tested=bundle is not None)
