"""Who may do what in the administration, written down a second time, in words of its own (THREATS 16).

`tests/admin/test_matrix.py` shows that every route does what its rule says; this shows that the rules say what they
should, and that the page does nothing for anybody that the REST interface would not. A route that is not in the table
fails here: whoever adds one says in it who may use it.
"""

from __future__ import annotations

import pytest
from security.governed import BOT_KEY, ROOT_KEY, Governed, filled, page_routes, rest_routes

from agentflow.admin.api.routes import OPERATIONS
from agentflow.admin.caller import ASKED

ALL, STAFF, CHIEF = {"admin", "operator", "viewer"}, {"admin", "operator"}, {"admin"}
# What each may see or do: roles, and whether in the home tenant only.
EVERYWHERE = {
    "whoami": ALL, "status": ALL, "overview": ALL, "listTools": ALL,
    "newestRecords": STAFF, "followRecords": STAFF, "searchRecords": STAFF, "showRecord": STAFF,
    "listApprovals": STAFF, "showApproval": STAFF, "approveCall": STAFF, "denyCall": STAFF,
    "exportRecords": CHIEF, "listKeys": CHIEF, "createKey": CHIEF, "showKey": CHIEF, "rotateKey": CHIEF,
    "revokeKey": CHIEF, "listCredentials": CHIEF, "revokeCredential": CHIEF,
}  # fmt: skip
AT_HOME = {
    "listServers": ALL, "showServer": ALL,
    "reconnectServer": STAFF, "disableServer": STAFF, "enableServer": STAFF, "listHeld": STAFF, "showHeld": STAFF,
    "showVerification": STAFF, "verifyRecords": STAFF, "listPolicies": STAFF, "showPolicyFiles": STAFF,
    "addServer": CHIEF, "removeServer": CHIEF, "approveHeld": CHIEF, "rejectHeld": CHIEF, "uploadPolicy": CHIEF,
    "activatePolicy": CHIEF, "rollBackPolicy": CHIEF,
}  # fmt: skip
