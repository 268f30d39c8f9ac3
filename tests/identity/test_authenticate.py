"""Keys of the store and tokens of an issuer at one door."""

from __future__ import annotations

import asyncio
import time

import pytest
from identity.key_world import World, until
from oidc_server import AUDIENCE, provider

from agentflow.config_auth import AuthConfig
from agentflow.errors import Unauthenticated
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.keys import NewKey

OPERATOR = "operator of this test"


async def test_no_token_stands_for_the_principal_of_a_stored_key_as_long_as_the_key_counts(world: World) -> None:
    with provider() as issuer:
        entry = {"issuer": issuer.issuer, "audience": AUDIENCE}
        async with world.following() as ring:
            door = Authenticator(AuthConfig.model_validate({"issuers": [entry]}), ring)
            headers = [(b"authorization", b"Bearer " + issuer.mint({"sub": "ci"}).encode())]
            assert (await door.authenticate(headers)).id == "ci"
            made = await asyncio.to_thread(ring.create, NewKey("ci", expires=time.time() + 900), OPERATOR)
            await asyncio.to_thread(ring.create, NewKey("other", tenant="acme"), OPERATOR)
            await until(lambda: door.known(headers) is None, "the key to be known")
            with pytest.raises(Unauthenticated) as refused:
                await door.authenticate(headers)
            assert refused.value.reason == "id_taken"
            assert (await door.authenticate([(b"x-api-key", made.key.encode())])).auth == "api_key"
            other = [(b"authorization", b"Bearer " + issuer.mint({"sub": "other"}).encode())]
            assert (await door.authenticate(other)).tenant == "default"  # it is another tenant's name
            await asyncio.to_thread(ring.revoke, made.info.id, OPERATOR)
            await until(lambda: door.known(headers) is not None, "the name to be free again")
            door.close()
