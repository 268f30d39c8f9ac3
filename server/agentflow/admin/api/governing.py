"""The routes of keys, approvals, credentials and policies."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.responses import Response

from agentflow.admin.actions import approvals, credentials, keys, policies, replays
from agentflow.admin.api.operation import JSON_MEDIA, Asked, Operation, dumped
from agentflow.admin.api.queries import Against, Asking, Keys, Newest, Note, OfServer, Part
from agentflow.admin.governed import (
    Approval,
    Bundle,
    BundleWish,
    Choice,
    Credential,
    Diff,
    Files,
    InForce,
    Key,
    KeyWish,
    NewKey,
    Replay,
    ReplayWish,
    Report,
    RollBack,
    Rotation,
    Uploaded,
    VoteWish,
)
from agentflow.admin.models import Page
from agentflow.errors import InvalidArguments
from agentflow.policy.approvals import State

_ARCHIVES: Final = ("application/gzip", "application/x-gzip", "application/octet-stream", "application/x-tar+gzip")
_TAG: Final = re.compile(r'(?:W/)?"(\d{1,12})-[0-9A-Za-z]*"')


def _id(asked: Asked) -> tuple[str]:
    return (asked.path["id"],)


def _revision(asked: Asked) -> tuple[str]:
    return (asked.path["revision"],)


def _part(asked: Asked) -> tuple[int, str | None]:
    return asked.query.limit, asked.query.cursor


def _voted(asked: Asked) -> tuple[str, str]:
    return asked.path["id"], asked.body.comment


def _approvals(asked: Asked) -> tuple[Any, ...]:
    state = None if asked.query.state == "all" else State(asked.query.state)
    return state, asked.query.limit, asked.query.cursor


def _bundle(asked: Asked) -> tuple[policies.Body]:
    return (asked.raw if asked.body is None else asked.body.files,)


def _uploaded(asked: Asked) -> tuple[Any, ...]:
    return (*_bundle(asked), asked.query.note if asked.body is None else asked.body.note)


def _expected(asked: Asked) -> int | None:
    """The number of the choice that `If-Match` names; None where it is not given, or any will do."""
    told = asked.request.headers.get("if-match")
    if told is None or told.strip() == "*":
        return None
    found = _TAG.fullmatch(told.strip())
    if found is None:
        raise InvalidArguments("If-Match is no ETag of ours", fix="GET /api/v1/policies/current has it")
    return int(found[1])


def _tagged(_: Asked, found: InForce) -> Response:
    tag = f'"{found.choice}-{found.revision[:16]}"'
    return Response(dumped(InForce, found), media_type=JSON_MEDIA, headers={"etag": tag})


def _archive(_: Asked, found: bytes) -> Response:
    sent = {"content-disposition": 'attachment; filename="bundle.tar.gz"'}
    return Response(found, media_type="application/gzip", headers=sent)


KEYS: Final = (
    Operation(
        "GET", "/keys", "listKeys", "keys", keys.listed,
        lambda asked: (asked.query.over, *_part(asked)), query=Keys, result=Page[Key],
    ),
    Operation(
        "POST", "/keys", "createKey", "keys", keys.create,
        lambda asked: (asked.body,), body=KeyWish, result=NewKey, status=201,
    ),
    Operation("GET", "/keys/{id}", "showKey", "keys", keys.show, _id, result=Key),
    Operation(
        "POST", "/keys/{id}/rotate", "rotateKey", "keys", keys.rotate,
        lambda asked: (asked.path["id"], asked.body), body=Rotation, bare=True, result=NewKey, status=201,
    ),
    Operation("POST", "/keys/{id}/revoke", "revokeKey", "keys", keys.revoke, _id, result=Key),
)  # fmt: skip
APPROVALS: Final = (
    Operation(
        "GET", "/approvals", "listApprovals", "approvals", approvals.listed, _approvals,
        query=Asking, result=Page[Approval],
    ),
    Operation("GET", "/approvals/{id}", "showApproval", "approvals", approvals.show, _id, result=Approval),
    Operation(
        "POST", "/approvals/{id}/approve", "approveCall", "approvals", approvals.approve, _voted,
        body=VoteWish, bare=True, result=Approval,
    ),
    Operation(
        "POST", "/approvals/{id}/deny", "denyCall", "approvals", approvals.deny, _voted,
        body=VoteWish, bare=True, result=Approval,
    ),
)  # fmt: skip
CREDENTIALS: Final = (
    Operation(
        "GET", "/credentials", "listCredentials", "credentials", credentials.listed,
        lambda asked: (asked.query.server, *_part(asked)), query=OfServer, result=Page[Credential],
    ),
    Operation(
        "DELETE", "/credentials/{tenant}/{principal}/{server}", "revokeCredential", "credentials", credentials.revoke,
        lambda asked: (asked.path["tenant"], asked.path["principal"], asked.path["server"]),
    ),
)  # fmt: skip
POLICIES: Final = (
    Operation("GET", "/policies", "listPolicies", "policies", policies.listed, _part, query=Part, result=Page[Bundle]),
    Operation(
        "POST", "/policies", "uploadPolicy", "policies", policies.upload, _uploaded,
        query=Note, body=BundleWish, takes=_ARCHIVES, result=Uploaded, status=201,
    ),
    Operation(
        "GET", "/policies/current", "showPolicyInForce", "policies", policies.current, result=InForce, answer=_tagged
    ),
    Operation(
        "GET", "/policies/history", "listChoices", "policies", policies.history,
        lambda asked: (asked.query.limit,), query=Newest, result=list[Choice],
    ),
    Operation(
        "POST", "/policies/test", "testPolicy", "policies", policies.test, _bundle,
        body=BundleWish, takes=_ARCHIVES, result=Report,
    ),
    Operation(
        "POST", "/policies/rollback", "rollBackPolicy", "policies", policies.roll_back,
        lambda asked: (asked.body.to_file, _expected(asked)),
        body=RollBack, bare=True, result=InForce, answer=_tagged, matched=True,
    ),
    Operation("GET", "/policies/replays/{id}", "showReplay", "policies", replays.show, _id, result=Replay),
    Operation(
        "GET", "/policies/{revision}/files", "showPolicyFiles", "policies", policies.files, _revision, result=Files
    ),
    Operation(
        "GET", "/policies/{revision}/bundle", "downloadPolicy", "policies", policies.archive, _revision,
        result=bytes, media="application/gzip", answer=_archive,
    ),
    Operation(
        "POST", "/policies/{revision}/test", "testUploadedPolicy", "policies", policies.test_again, _revision,
        result=Report,
    ),
    Operation(
        "GET", "/policies/{revision}/diff", "comparePolicies", "policies", policies.diff,
        lambda asked: (asked.path["revision"], asked.query.against), query=Against, result=Diff,
    ),
    Operation(
        "POST", "/policies/{revision}/replay", "replayPolicy", "policies", replays.begin,
        lambda asked: (asked.path["revision"], asked.body), body=ReplayWish, bare=True, result=Replay,
    ),
    Operation(
        "POST", "/policies/{revision}/activate", "activatePolicy", "policies", policies.activate,
        lambda asked: (asked.path["revision"], _expected(asked)), result=InForce, answer=_tagged, matched=True,
    ),
)  # fmt: skip
OPERATIONS: Final = (*KEYS, *APPROVALS, *CREDENTIALS, *POLICIES)
