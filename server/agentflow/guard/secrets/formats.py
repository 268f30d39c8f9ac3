"""The table of forms: how services write their keys, so that nothing else has to say what they are.

A row is a service, the type of secret, a *sign* (a cheap pattern; all signs run as one automaton, and a row is
looked at only where its sign occurs) and the whole form. A form starts at its sign unless it says otherwise, and ends
where the text of its alphabet ends. Patterns are google-re2 over bytes: no look-around, linear time.
Sources: the services' own documentation of their keys, and what their open-source clients check.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import re2

# Alphabets.
_A: Final = r"[A-Za-z0-9]"
_W: Final = r"[A-Za-z0-9_-]"
_X: Final = r"[0-9a-fA-F]"
_U: Final = r"[A-Z0-9]"
_L: Final = r"[a-zA-Z0-9_=-]"
_B: Final = r"[A-Za-z0-9+/]"


class Format(NamedTuple):
    """How one kind of secret is written.

    Attributes:
        drawn: whether the text must look random as well, because words can have the same form.
        anywhere: whether its sign may follow a letter or digit directly, or stand in the middle of the form.
    """

    service: str
    type: str
    sign: str
    pattern: str
    drawn: bool = False
    anywhere: bool = False


def _key(service: str, prefix: str, body: str, *, drawn: bool = False, type: str = "API_KEY") -> Format:
    return Format(service, type, prefix, f"(?:{prefix}){body}", drawn)


def _cloud(service: str, prefix: str, body: str, *, drawn: bool = False) -> Format:
    return _key(service, prefix, body, drawn=drawn, type="CLOUD_KEY")


FORMATS: Final[tuple[Format, ...]] = (
    # Clouds and hosting
    _cloud("AWS access key", "AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9]", f"{_U}{{16}}"),
    _cloud("AWS Bedrock", "ABSK", rf"{_B}{{100,}}={{0,2}}"),
    _cloud("AWS Bedrock, short-lived", "bedrock-api-key-", rf"{_B}{{24,}}={{0,2}}"),
    _cloud("AWS MWS", r"amzn\.mws\.", rf"{_X}{{8}}-(?:{_X}{{4}}-){{3}}{_X}{{12}}"),
    _cloud("Google API key", "AIza", r"[A-Za-z0-9_-]{35}"),
    _cloud("Google OAuth", r"ya29\.", r"[A-Za-z0-9_-]{20,}"),
    _cloud("Google OAuth client secret", "GOCSPX-", f"{_W}{{24,}}"),
    _cloud("Google OAuth refresh token", "1//0", f"{_W}{{30,}}", drawn=True),
    Format("Azure application secret", "CLOUD_KEY", r"[0-9]Q~",
           r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", anywhere=True),
    Format("Azure shared access signature", "CLOUD_KEY", r"[?&;]sig=", r"[?&;]sig=([A-Za-z0-9%+/]{30,}={0,2})",
           anywhere=True),
    _cloud("Alibaba access key", "LTAI", f"{_A}{{12,24}}"),
    _cloud("Tencent secret id", "AKID", f"{_A}{{32,36}}", drawn=True),
    _cloud("IBM, Scaleway", "SCW", r"[A-Z0-9]{17}"),
    _cloud("DigitalOcean", "do[opr]_v1_", f"{_X}{{64}}"),
    _cloud("Heroku", "HRKU-", f"{_W}{{36,60}}"),
    _cloud("Fly.io", "fo1_", f"{_W}{{43}}"),
    _cloud("Fly.io macaroon", "fm1[ar]_|fm2_", rf"{_B}{{100,}}={{0,3}}"),
    _cloud("Yandex", r"t1\.[A-Z0-9a-z_-]+=?=?\.", rf"{_W}{{86}}={{0,2}}"),
    _cloud("Yandex API", "AQVN", f"{_W}{{35,38}}"),
    _cloud("Cloudflare origin CA", r"v1\.0-", f"{_X}{{24}}-{_X}{{146}}"),
    _cloud("Infracost, Vercel blob", "ico-|vercel_blob_rw_", f"{_W}{{32,}}"),
    _cloud("Supabase", "sbp_", f"{_X}{{40}}"),
    _cloud("PlanetScale", "pscale_(?:tkn|oauth|pw)_", r"[\w=.-]{32,64}"),
    _cloud("Neon, Render, Railway", "napi_|rnd_", f"{_A}{{28,}}", drawn=True),
    _cloud("OpenShift", "sha256~", f"{_W}{{43}}"),
    # Source code and packages
    _key("GitHub", "gh[opsur]_", f"{_A}{{30,}}"),
    _key("GitHub fine-grained", "github_pat_", r"\w{22,}"),
    _key("GitLab", "gl(?:pat|ptt|rt|dt|ft|imt|agent|oas|soat|ffct|cbt)-", r"[\w.-]{20,}"),
    _key("GitLab runner", "GR1348941", f"{_W}{{20,}}"),
    Format("GitLab session", "API_KEY", "_gitlab_session=", f"_gitlab_session={_A}{{32}}", anywhere=True),
    _key("Bitbucket, Atlassian", "ATATT3|ATCTT3|ATBB", r"[A-Za-z0-9_=-]{28,}", drawn=True),
    _key("npm", "npm_", f"{_A}{{36}}", drawn=True),
    _key("PyPI", "pypi-", f"{_W}{{50,}}", drawn=True),
    _key("RubyGems", "rubygems_", f"{_X}{{48}}"),
    _key("Clojars", "CLOJARS_", f"{_A}{{60}}"),
    _key("crates.io", "cio", f"{_A}{{32}}", drawn=True),
    _key("NuGet", "oy2", "[a-z0-9]{43}", drawn=True),
    _key("Docker Hub", "dckr_(?:pat|oat)_", f"{_W}{{27,}}"),
    _key("Artifactory", "AKCp", f"{_A}{{64,}}"),
    _key("Artifactory reference", "cmVmdGtu", f"{_A}{{40,}}"),
    Format("Artifactory reference", "API_KEY", "cmVmd", f"cmVmd{_A}{{59}}", drawn=True),
    _key("Sourcegraph", r"sgp_(?:[a-fA-F0-9]{16}_|local_)?", f"{_X}{{40}}"),
    _key("Sourcegraph", r"sl[kr]_", f"{_X}{{64}}"),
    _key("SonarQube", "sq[uap]_", f"{_X}{{40}}"),
    _key("CircleCI", "CCIPAT_|CCIPRJ_", r"\w{40,}"),
    _key("Buildkite", "bkua_", f"{_X}{{40}}"),
    _key("Snyk, Sentry user", "sntryu_", f"{_X}{{64}}"),
    _key("Sentry organisation", "sntrys_", rf"{_B}{{20,}}={{0,2}}_{_B}{{30,}}"),
    _key("Postman", "PMAK-", f"{_X}{{24}}-{_X}{{34}}"),
    _key("Pulumi", "pul-", f"{_X}{{40}}"),
    Format("Terraform Cloud", "API_KEY", r"\.atlasv1\.", rf"{_A}{{14}}\.atlasv1\.[A-Za-z0-9_=-]{{60,}}", anywhere=True),
    _key("HashiCorp Vault", r"hv[bsr]\.", f"{_W}{{24,}}"),
    _key("HashiCorp Vault, old", r"s\.[A-Za-z0-9]{4}", f"{_A}{{20}}", drawn=True),
    _key("Doppler", r"dp\.(?:pt|st|ct|sa|scim|audit)\.", r"[A-Za-z0-9._-]{40,}"),
    _key("Infisical", r"st\.[a-f0-9]{24}\.", r"[A-Za-z0-9.]{32,}"),
    _key("1Password secret", "A3-", rf"{_U}{{6}}-(?:{_U}{{11}}|{_U}{{6}}-{_U}{{5}})-{_U}{{5}}-{_U}{{5}}-{_U}{{5}}"),
    _key("1Password service account", "ops_eyJ", rf"{_B}{{100,}}={{0,3}}"),
    _key("age", "AGE-SECRET-KEY-1", r"[A-Za-z0-9]{58}", type="PRIVATE_KEY"),
    _key("AgentFlow", "af_[a-z0-9]{12}_", f"{_A}{{49}}"),
    # Models
    _key("OpenAI, Anthropic, OpenRouter and others", "sk-", f"{_W}{{20,}}", drawn=True),
    _key("Hugging Face", "hf_|api_org_", f"{_A}{{30,}}"),
    _key("Perplexity", "pplx-", f"{_A}{{40,}}"),
    _key("Replicate", "r8_", f"{_A}{{37}}"),
    _key("Groq", "gsk_", f"{_A}{{40,}}"),
    _key("xAI", "xai-", f"{_A}{{60,}}"),
    _key("Fireworks, Tavily, Langfuse, Braintrust", "fw_|tvly-(?:dev-)?|[sp]k-lf-|lsv2_(?:pt|sk)_", f"{_W}{{20,}}",
         drawn=True),
    # Chat, mail, telephony
    _key("Slack", "xox[abceoprsd]-|xoxe\\.xox[bp]-", f"{_W}{{10,}}", drawn=True),
    _key("Slack app", "xapp-[0-9]-", f"{_W}{{7,}}"),
    Format("Slack webhook", "API_KEY", r"hooks\.slack\.com/",
           r"(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_]{20,}", anywhere=True),
    Format("Discord webhook", "API_KEY", "/api/webhooks/",
           rf"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]{{15,20}}/{_W}{{50,}}", anywhere=True),
    Format("Teams webhook", "API_KEY", r"webhook\.office\.com/",
           r"https://[a-zA-Z0-9.-]+\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{40,}", anywhere=True),
    Format("Google Chat webhook", "API_KEY", r"chat\.googleapis\.com/v1/spaces",
           r"https://chat\.googleapis\.com/v1/spaces/\w+/messages\?key=[\w-]+&token=[\w%-]+", anywhere=True),
    Format("Zapier, IFTTT and n8n webhook", "API_KEY", r"hooks\.zapier\.com|maker\.ifttt\.com",
           r"https://(?:hooks\.zapier\.com/hooks/catch/\w+/\w+|maker\.ifttt\.com/trigger/\w+/with/key/[\w-]+)",
           anywhere=True),
    Format("Discord bot", "API_KEY", r"[MNO][A-Za-z0-9_-]{22,25}\.",
           r"[MNO][A-Za-z0-9_-]{22,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}"),
    Format("Telegram bot", "API_KEY", r"[0-9]{5,16}:A", rf"[0-9]{{5,16}}:A{_W}{{34}}"),
    _key("SendGrid", r"SG\.", r"[A-Za-z0-9=_-]{16,}\.[A-Za-z0-9=_.-]{16,}"),
    _key("SendGrid", r"SG\.", r"[A-Za-z0-9=_.-]{66}", drawn=True),
    _key("Brevo", "xkeysib-", f"{_X}{{64}}-{_A}{{16}}"),
    _key("Mailgun", "(?:pub)?key-", f"{_X}{{32}}"),
    Format("Mailgun signing", "API_KEY", "[a-h0-9]{32}-[a-h0-9]{8}-", "[a-h0-9]{32}-[a-h0-9]{8}-[a-h0-9]{8}"),
    Format("Mailchimp", "API_KEY", "[0-9a-f]{32}-us", r"[0-9a-f]{32}-us[0-9]{1,2}"),
    _key("Twilio", f"(?:AC|SK){_X}{{8}}", f"{_X}{{24}}"),
    _key("Scalingo, Telnyx", "tk-us-", f"{_W}{{48}}"),
    _key("Postmark, Resend, MailerSend", r"re_|mlsn\.", f"{_W}{{28,}}", drawn=True),
    # Money and shops
    _key("Stripe", "[sr]k_(?:live|test|prod)_", f"{_A}{{10,}}"),
    _key("Stripe, publishable", "pk_(?:live|test)_", f"{_A}{{10,}}"),
    _key("Stripe and Svix webhook", "whsec_", r"[A-Za-z0-9+/]{24,}={0,2}"),
    _key("Square", "sq0(?:atp|csp|idp)-", f"{_W}{{22,}}"),
    _key("Square", "EAAA", f"{_W}{{22,60}}", drawn=True),
    _key("Facebook", "EAA[MCB]", f"{_A}{{90,}}"),
    Format("Facebook app token", "API_KEY", "[0-9]{15,16}[|%]", rf"[0-9]{{15,16}}[|%]{_W}{{27,40}}", drawn=True),
    _key("Instagram", "IGQVJ", f"{_W}{{40,}}"),
    _key("Shopify", "shp(?:at|ca|pa|ss|ua)_", f"{_X}{{32}}"),
    _key("Shippo", "shippo_(?:live|test)_", f"{_X}{{40}}"),
    _key("EasyPost", "EZ[AT]K", f"{_A}{{54}}"),
    _key("Duffel", "duffel_(?:test|live)_", r"[A-Za-z0-9_=-]{40,}"),
    _key("Flutterwave", "FLW(?:SECK|PUBK)(?:_TEST|_LIVE)?-", r"[A-Ha-h0-9]{12,}(?:-X)?"),
    _key("Frame.io", "fio-u-", f"{_L}{{60,}}"),
    _key("Plaid", "access-(?:sandbox|development|production)-", rf"{_X}{{8}}-(?:{_X}{{4}}-){{3}}{_X}{{12}}"),
    _key("PayPal, Braintree", r"access_token\$(?:production|sandbox)\$", r"[0-9a-z]{16}\$[0-9a-f]{32}"),
    _key("Razorpay", "rzp_(?:live|test)_", f"{_A}{{14,}}"),
    _key("Authress", r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc",
         r"[_-][A-Za-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,}"),
    # Data, monitoring, work
    _key("Databricks", "dapi", rf"{_X}{{32}}(?:-[0-9])?"),
    _key("Datadog app", "ddapp_|ddp_", f"{_A}{{30,}}"),
    _key("Dynatrace", r"dt0[a-z][0-9]{2}\.", r"[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}"),
    _key("New Relic", "NRAK-|NRJS-|NRII-|NRRA-|NRIQ-", f"{_W}{{19,}}"),
    _key("Grafana", "eyJrIjoi", rf"{_A}{{40,}}={{0,3}}"),
    _key("Grafana Cloud", "glc_", rf"{_B}{{32,}}={{0,3}}"),
    _key("Grafana service account", "glsa_", f"{_A}{{32}}_{_X}{{8}}"),
    _key("Linear", "lin_(?:api|oauth)_", f"{_A}{{32,}}"),
    _key("Notion", "ntn_", f"{_A}{{40,}}"),
    _key("Notion, old", "secret_", f"{_A}{{43}}", drawn=True),
    _key("Figma", "fig[dor]_", f"{_W}{{36,}}"),
    _key("Airtable", rf"pat{_A}{{14}}\.", "[a-f0-9]{64}"),
    _key("Asana", "[0-9]/[0-9]{12,}(?:/[0-9]{12,})?:", f"{_X}{{32}}"),
    _key("HubSpot", "pat-(?:na|eu|ap)[0-9]-", rf"{_X}{{8}}-(?:{_X}{{4}}-){{3}}{_X}{{12}}"),
    _key("Typeform", "tfp_", r"[A-Za-z0-9_.=-]{40,}"),
    _key("ReadMe", "rdme_", "[a-z0-9]{70}"),
    _key("Prefect", "pnu_|pnb_", f"{_A}{{36}}"),
    _key("Settlemint", "sm_(?:aat|pat|sat)_", f"{_A}{{16}}"),
    _key("Octopus Deploy", "API-", f"{_U}{{26,}}", drawn=True),
    _key("Okta", "SSWS ", f"{_W}{{40,}}"),
    _key("Intra42", "s-s4t2(?:ud|af)-", f"{_X}{{64}}"),
    _key("Defined Networking", "dnkey-", f"{_L}{{26,}}"),
    _key("Adobe, Mapbox secret", r"p8e-|sk\.eyJ", r"[A-Za-z0-9._-]{32,}"),
    _key("Mapbox", r"pk\.(?:eyJ)?", r"[A-Za-z0-9]{57,}\.[A-Za-z0-9_-]{22}"),
    _key("Clickhouse Cloud", "4b1d", f"{_A}{{38}}"),
    _key("Harness", r"[ps]at\.", rf"{_W}{{22}}\.{_A}{{24}}\.{_A}{{20}}"),
    Format("MaxMind", "API_KEY", "_mmk", rf"{_A}{{6}}_{_A}{{29}}_mmk", anywhere=True),
    _key("Dropbox", r"sl\.", r"[A-Za-z0-9_=-]{100,}"),
    _key("Tailscale", "tskey-", f"{_W}{{20,}}"),
    _key("Contentful, Rollbar, Mixpanel", "CFPAT-", f"{_W}{{40,}}"),
    _key("Elastic, Algolia, Segment, Customer.io", "sgp_|essu_", f"{_A}{{30,}}", drawn=True),
)  # fmt: skip

_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes: no UTF-8 decoding in the automaton
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 << 20


@cache
def compiled(pattern: str) -> Any:
    """Compile a pattern on its first use: most are never used in a process."""
    return re2.compile(pattern.encode(), _OPTIONS)


def sign_set(patterns: list[str]) -> Any:
    """Compile `patterns` into one unanchored set; `.Match(data)` returns the indices that occur, or None."""
    signs = re2.Set.SearchSet(_OPTIONS)
    for pattern in patterns:
        signs.Add(pattern.encode())
    signs.Compile()
    return signs
