"""What AWS refuses, in words that say what to do: `explained` makes one `BedrockFailure` of any exception of boto3.

Promises: IAM's answers become the permission, the resource and the kind of policy that is missing or denies; no message
of AWS is quoted whole, so that no account number, session name, signature or prompt gets out. Refuses to retry.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from agentflow.models.worker.provider import FailureKind, ProviderFailure


class BedrockFailure(ProviderFailure):
    """A request failed in one region. `elsewhere`: whether it may well succeed in another."""

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        fix: str = "",
        retry_after: float | None = None,
        elsewhere: bool = False,
        profile_needed: bool = False,
        usage: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(kind, message, fix=fix, retry_after=retry_after, usage=usage)
        self.elsewhere = elsewhere
        self.profile_needed = profile_needed


class _Known(NamedTuple):
    kind: FailureKind
    what: str
    fix: str = ""
    elsewhere: bool = False


_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `profile`, `role_arn` or `api_key` of the provider"
_RENEW = "renew the credentials (`aws sso login`, or a new session token) and restart"
_CLOCK = "check the secret key, and that this machine's clock is right"
_ACCESS: Final = (
    "grant access to the model in the Bedrock console (Model access), or let the role subscribe: "
    "aws-marketplace:Subscribe and aws-marketplace:ViewSubscriptions"
)

_CODES: Final[dict[str, _Known]] = {
    "throttlingexception": _Known("rate_limit", "throttled the request", "", True),
    "throttling": _Known("rate_limit", "throttled the request", "", True),
    "toomanyrequestsexception": _Known("rate_limit", "throttled the request", "", True),
    "servicequotaexceededexception": _Known(
        "rate_limit", "the account's quota for this model is used up", "ask for more in Service Quotas", True
    ),
    "modelnotreadyexception": _Known("server", "the model is being loaded", "", True),
    "serviceunavailableexception": _Known("server", "is overloaded", "", True),
    "internalserverexception": _Known("server", "failed", "", True),
    "internalfailure": _Known("server", "failed", "", True),
    "modelerrorexception": _Known("server", "the model failed", "", True),
    "modelstreamerrorexception": _Known("server", "the model failed in the middle of its answer", "", True),
    "modeltimeoutexception": _Known("timeout", "the model took too long", "", True),
    "unrecognizedclientexception": _Known(
        "auth", "does not know these credentials", f"{_CREDENTIALS}; a region may have to be enabled first", True
    ),
    "invalidclienttokenid": _Known("auth", "does not know these credentials", _CREDENTIALS),
    "expiredtokenexception": _Known("auth", "the credentials have expired", _RENEW),
    "expiredtoken": _Known("auth", "the credentials have expired", _RENEW),
    "requestexpired": _Known("auth", "the request's signature is too old", _CLOCK),
    "invalidsignatureexception": _Known("auth", "the signature does not match", _CLOCK),
    "signaturedoesnotmatch": _Known("auth", "the signature does not match", _CLOCK),
    "missingauthenticationtokenexception": _Known("auth", "no credentials were sent", _CREDENTIALS),
    "optinrequired": _Known("auth", "the account has not enabled this region", "enable the region", True),
}

# Of botocore's own exceptions, by the name of the class or of one that it derives from.
_LOCAL: Final[dict[str, _Known]] = {
    "NoCredentialsError": _Known("auth", "there are no AWS credentials", _CREDENTIALS),
    "PartialCredentialsError": _Known("auth", "the AWS credentials are incomplete", _CREDENTIALS),
    "CredentialRetrievalError": _Known("auth", "the AWS credentials cannot be fetched", _CREDENTIALS),
    "NoAuthTokenError": _Known("auth", "there is no Bedrock API key", "set `api_key` of the provider"),
    "InvalidEndpointConfigurationError": _Known(
        "auth", "a Bedrock API key is sent over https only", "give `base_url` with https"
    ),
    "ProfileNotFound": _Known("auth", "the AWS configuration has no such profile", "correct `profile` of the provider"),
    "SSOTokenLoadError": _Known("auth", "nobody is signed in to AWS SSO", "run `aws sso login`"),
    "UnauthorizedSSOTokenError": _Known("auth", "the AWS SSO session has expired", "run `aws sso login`"),
    "TokenRetrievalError": _Known("auth", "the AWS token cannot be fetched", "run `aws sso login`"),
    "NoRegionError": _Known("not_found", "no region is configured", "set `regions` of the provider"),
    "InvalidRegionError": _Known("not_found", "the region's name is malformed", "correct `regions` of the provider"),
    "ParamValidationError": _Known("bad_request", "the request does not fit Bedrock's Converse API"),
    "ConnectTimeoutError": _Known("unreachable", "no connection in time", "check the network and `regions`", True),
    "EndpointConnectionError": _Known("unreachable", "cannot be reached", "check the network and `regions`", True),
    "ProxyConnectionError": _Known("unreachable", "the proxy cannot be reached", "check the proxy's address", True),
    "SSLError": _Known("unreachable", "TLS failed", "check the certificates (AWS_CA_BUNDLE)", True),
    "ReadTimeoutError": _Known("timeout", "did not answer in time"),
    "ConnectionClosedError": _Known("protocol", "broke the connection off", "", True),
    "ProtocolError": _Known("protocol", "broke its answer off", "", True),
    "IncompleteReadError": _Known("protocol", "broke its answer off", "", True),
    "ResponseStreamingError": _Known("protocol", "broke its answer off", "", True),
    "ResponseParserError": _Known("protocol", "answered something that is not an answer", "", True),
    "HTTPClientError": _Known("unreachable", "cannot be reached", "check the network and `regions`", True),
}

_TOO_LONG: Final = re.compile(
    r"too long|too many (?:input )?tokens|maximum context length|context window|input length and `?max_tokens|"
    r"exceeds? the (?:maximum|model'?s) (?:number of |context )?(?:input )?(?:tokens|length)",
    re.IGNORECASE,
)
_FILTERED: Final = re.compile(r"content filter|guardrail|blocked by|responsible ai", re.IGNORECASE)
_NO_PROFILE: Final = re.compile(r"on-demand throughput isn.t supported", re.IGNORECASE)
_NO_MODEL: Final = re.compile(
    r"model identifier is invalid|model id is invalid|does not exist|model is not supported in", re.IGNORECASE
)
_USE_CASE: Final = re.compile(r"use case details", re.IGNORECASE)
_RETIRED: Final = re.compile(r"legacy|end of its life|end of life", re.IGNORECASE)
_NO_MODEL_ACCESS: Final = re.compile(
    r"don.t have access to the model|access to this model|model access is denied|aws-marketplace", re.IGNORECASE
)
_NOT_AUTHORIZED: Final = re.compile(
    r"(?:User|Principal): (?P<who>\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: (?P<resource>\S+))?(?P<why>.*)",
    re.DOTALL,
)
_POLICIES: Final = (
    ("service control policy", "a service control policy of the organisation", "ask who administers the organisation"),
    (
        "resource control policy",
        "a resource control policy of the organisation",
        "ask who administers the organisation",
    ),
    ("permissions boundary", "the permissions boundary", "widen the permissions boundary"),
    ("session policy", "the session policy", "widen the policy that the role is taken over with"),
    ("vpc endpoint policy", "the VPC endpoint's policy", "widen the endpoint's policy"),
    ("resource-based policy", "the resource's own policy", "widen the resource's policy"),
)


def explained(error: BaseException, region: str) -> BedrockFailure:
    """What `error`, raised by boto3 in `region`, means."""
    if isinstance(error, BedrockFailure):
        return error
    place = f"Bedrock ({region})" if region else "Bedrock"
    response = getattr(error, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        return _answered(response, place)
    for kind in type(error).__mro__:
        known = _LOCAL.get(kind.__name__)
        if known is not None:
            return _failure(known, place)
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        return _failure(_LOCAL["ResponseParserError"], place)
    return BedrockFailure("server", f"{place}: failed ({type(error).__name__})", elsewhere=True)


def _failure(known: _Known, place: str, retry_after: float | None = None) -> BedrockFailure:
    message = f"{place}: {known.what}"
    return BedrockFailure(known.kind, message, fix=known.fix, retry_after=retry_after, elsewhere=known.elsewhere)


def _answered(response: dict[str, Any], place: str) -> BedrockFailure:
    code = str(response["Error"].get("Code", "")).rpartition("#")[2].lower()
    text = str(response["Error"].get("Message", ""))
    meta = response.get("ResponseMetadata") or {}
    status = int(meta.get("HTTPStatusCode") or 0)
    if code in ("accessdeniedexception", "accessdenied"):
        return _denied(text, place)
    if code == "validationexception":
        return _invalid(text, place)
    if code == "resourcenotfoundexception":
        return _absent(text, place)
    known = _CODES.get(code)
    if known is not None:
        return _failure(known, place, _retry_after(meta.get("HTTPHeaders") or {}))
    if status == 429:
        return _failure(_CODES["throttling"], place, _retry_after(meta.get("HTTPHeaders") or {}))
    if status in (401, 403):
        return _denied(text, place)
    if status == 404:
        return _absent(text, place)
    if 400 <= status < 500:
        return BedrockFailure("bad_request", f"{place}: refused the request ({status})")
    return BedrockFailure("server", f"{place}: failed ({status or code or 'no status'})", elsewhere=True)


def _retry_after(headers: dict[str, Any]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _absent(text: str, place: str) -> BedrockFailure:
    if _USE_CASE.search(text):
        what, fix = "the use case form for this model was not handed in", "fill it in, in the Bedrock console"
        return BedrockFailure("auth", f"{place}: {what}", fix=fix)
    if _RETIRED.search(text):
        what, fix = "this model is retired, or kept for those who used it lately", "use a newer version of it"
        return BedrockFailure("not_found", f"{place}: {what}", fix=fix, elsewhere=True)
    fix = "`agentflow models list` shows what the region offers"
    return BedrockFailure("not_found", f"{place}: there is no such model here", fix=fix, elsewhere=True)


def _invalid(text: str, place: str) -> BedrockFailure:
    if _NO_PROFILE.search(text):
        what = "this model is served only through an inference profile"
        fix = "put the geography before the model's id, as in `us.anthropic.…`"
        return BedrockFailure("not_found", f"{place}: {what}", fix=fix, elsewhere=True, profile_needed=True)
    if _NO_MODEL.search(text):
        return _absent("", place)
    if _TOO_LONG.search(text):
        return BedrockFailure("context_window", f"{place}: the prompt is too long for this model")
    if _FILTERED.search(text):
        return BedrockFailure("content_filter", f"{place}: its content filter refused the request")
    return BedrockFailure("bad_request", f"{place}: refused the request as invalid")


def _denied(text: str, place: str) -> BedrockFailure:
    """IAM's refusal: who lacks what, and in which kind of policy. Of ARNs only the name, never account or session."""
    if _NO_MODEL_ACCESS.search(text):
        return BedrockFailure("auth", f"{place}: the account has no access to this model", fix=_ACCESS, elsewhere=True)
    if re.search(r"bearer|api key", text, re.IGNORECASE):
        return BedrockFailure("auth", f"{place}: the Bedrock API key is not valid", fix="set a new `api_key`")
    found = _NOT_AUTHORIZED.search(text)
    if found is None:
        fix = "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on the model"
        return BedrockFailure("auth", f"{place}: access is denied", fix=fix, elsewhere=True)
    action, why = found["action"], found["why"].lower()
    who = "/".join(_name(found["who"]).split("/")[:2])
    resource = _name(found["resource"] or "").rstrip(".,")
    target = f" on {resource}" if resource and resource != "*" else ""
    denies = "explicit deny" in why
    for phrase, where, remedy in _POLICIES:
        if phrase in why:
            reason = f"{where} {'denies' if denies else 'does not allow'} it"
            return BedrockFailure(
                "auth", f"{place}: {who} may not {action}{target}: {reason}", fix=remedy, elsewhere=True
            )
    reason = "a policy of its own denies it" if denies else "none of its policies allows it"
    remedy = "remove that deny" if denies else _allow(action, resource)
    return BedrockFailure("auth", f"{place}: {who} may not {action}{target}: {reason}", fix=remedy, elsewhere=True)


def _allow(action: str, resource: str) -> str:
    if action == "sts:AssumeRole":
        return "allow sts:AssumeRole on the role, and name this principal in the role's trust policy"
    if action.startswith("bedrock:InvokeModel"):
        both = "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on "
        if resource.startswith("inference-profile/"):
            return f"{both}{resource} and on its foundation model in every region of the profile"
        return both + (resource or "the model")
    return f"allow {action} on {resource or 'it'}"


def _name(arn: str) -> str:
    """`inference-profile/x` of `arn:aws:bedrock:us-east-1:123456789012:inference-profile/x`."""
    return arn.split(":", 5)[-1] if arn.startswith("arn:") else arn
