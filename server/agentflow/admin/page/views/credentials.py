"""What principals present to servers in their own names: which there are, and taking one away."""

from __future__ import annotations

from starlette.responses import Response

from agentflow.admin.actions import credentials
from agentflow.admin.page.visits import Visit, go

_PAGE = 100


async def listed(visit: Visit) -> Response:
    """The credentials; never what they are."""
    found = await credentials.listed(visit.service, visit.caller, None, _PAGE, visit.asked("cursor") or None)
    said = {"revoked": "The credential is taken away; its principal has to connect again."}.get(visit.asked("done"), "")
    return visit.show("credentials.html", found=found, said=said)


async def revoke(visit: Visit) -> Response:
    """Take one away."""
    tenant, principal, server = (visit.form.text(name) for name in ("tenant", "principal", "server"))
    await credentials.revoke(visit.service, visit.caller, tenant, principal, server)
    return go("/ui/credentials?done=revoked")
