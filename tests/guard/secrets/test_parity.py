"""What the plugins of detect-secrets find in a generated corpus is found here as well, hashes and ids excepted."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest

from agentflow.guard.secrets.matcher import SecretMatcher

pytest.importorskip("detect_secrets")

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.settings import transient_settings

MATCHER = SecretMatcher()
ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
# Plugins that look for something else: any random string whatever its name, and addresses of hosts.
_ELSEWHERE = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"}


def draw(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def corpus(rng: random.Random) -> Iterator[str]:
    """Lines as the plugins' own documentation describes the secrets they look for."""
    digits, lower, hexa = string.digits, string.ascii_lowercase + string.digits, "0123456789abcdef"
    yield f"AKIA{draw(rng, string.ascii_uppercase + '234567', 16)}"
    yield f"aws_secret_access_key = '{draw(rng, ALNUM + '/+', 40)}'"
    yield f"AccountKey={draw(rng, ALNUM + '+/', 86)}=="
    yield f"artifactory = 'AKC{draw(rng, ALNUM, 10)}p{draw(rng, ALNUM, 60)}'"
    yield f"https://user{draw(rng, digits, 2)}:{draw(rng, ALNUM, 12)}@host.example/path"
    yield f"cloudant_password = '{draw(rng, hexa, 64)}'"
    yield f"DISCORD={rng.choice('MNO')}{draw(rng, URLSAFE, 23)}.{draw(rng, URLSAFE, 6)}.{draw(rng, URLSAFE, 27)}"
    yield f"{rng.choice(['ghp', 'gho', 'ghu', 'ghs', 'ghr'])}_{draw(rng, ALNUM, 36)}"
    yield f"glpat-{draw(rng, URLSAFE, 20)}"
    yield f"ibm_cloud_iam_api_key = {draw(rng, URLSAFE, 44)}"
    yield f"cos_hmac_secret_access_key: {draw(rng, hexa, 48)}"
    header, body = (
        base64.urlsafe_b64encode(json.dumps(x).encode()).decode().rstrip("=") for x in ({"alg": "HS256"}, {"s": 1})
    )
    yield f"{header}.{body}.{draw(rng, URLSAFE, 43)}"
    yield f'password = "{draw(rng, ALNUM, 14)}1a"'
    yield f'"api_key": "{draw(rng, ALNUM, 24)}7b"'
    yield f"{draw(rng, hexa, 32)}-us{rng.randrange(1, 20)}"
    yield f"//registry.example/:_authToken=npm_{draw(rng, ALNUM, 36)}"
    yield f"sk-{draw(rng, ALNUM, 20)}T3BlbkFJ{draw(rng, ALNUM, 20)}"
    yield "-----BEGIN RSA PRIVATE KEY-----"
    yield f"pypi-AgEIcHlwaS5vcmc{draw(rng, URLSAFE, 80)}"
    yield f"SG.{draw(rng, URLSAFE, 22)}.{draw(rng, URLSAFE, 43)}"
    yield f"xoxb-{draw(rng, digits, 12)}-{draw(rng, digits, 12)}-{draw(rng, ALNUM, 24)}"
    team = draw(rng, string.ascii_uppercase, 8)
    yield f"https://hooks.slack.com/services/T{team}/B{draw(rng, ALNUM, 8)}/{draw(rng, ALNUM, 24)}"
    yield f"softlayer_api_key = {draw(rng, hexa, 64)}"
    yield f"sq0csp-{draw(rng, URLSAFE, 43)}"
    yield f"sk_live_{draw(rng, ALNUM, 24)}"
    yield f"{draw(rng, digits, 9)}:AA{draw(rng, URLSAFE, 33)}"
    yield f"SK{draw(rng, lower[-10:] + 'abcdef', 32)}"


def plugins() -> list[Any]:
    return [kind() for kind in get_mapping_from_secret_type_to_class().values() if kind.__name__ not in _ELSEWHERE]


@pytest.mark.parametrize("seed", range(20))
def test_every_finding_of_detect_secrets_is_a_finding_here(seed: int) -> None:
    found = missed = 0
    with transient_settings({"plugins_used": []}):
        for line in corpus(random.Random(seed)):
            for plugin in plugins():
                for secret in plugin.analyze_string(line):
                    found += 1
                    hits = [line[match.start : match.end] for match in MATCHER.find(line)]
                    missed += not any(secret in hit or hit in secret for hit in hits)
    assert found >= 25
    assert missed == 0
