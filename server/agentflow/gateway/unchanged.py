"""A call that people were asked about goes to what they were asked about.

Between question and answer a server may have changed the tool, or an administrator may have had it held or taken away.
It promises that no approved call then reaches it. The approval is used up; the next call is decided, and asked about,
as what there is then.
"""

from __future__ import annotations

from agentflow.errors import ApprovalRequired
from agentflow.gateway.catalogue import Catalogue, Entry
from agentflow.pipeline.call import Call
from agentflow.policy.document import KINDS


def refuse_changed(call: Call, entry: Entry, offered: Catalogue) -> None:
    """See that the entry which an approved call was routed to is still offered as it was.

    Raises:
        ApprovalRequired: it is not.
    """
    if call.approval is None or "id" not in call.approval:
        return
    now = offered.find(KINDS.get(call.surface, "resource"), entry.name)
    if now is None or (now.definition != entry.definition and call.surface != "resources/read"):
        raise ApprovalRequired(
            "What this call goes to changed while its approval was given",
            fix="call again and have it answered",
            approval=call.approval["id"],
        )
