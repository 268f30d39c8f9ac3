"""Asking models until one answers: retries with jitter, fail-over, hedging, streaming, within limits and breakers.

It promises that every model that was asked is paid for what it reports, whether it answered, failed or came second;
that no part of a stream is passed on twice; and that once a part was passed on nothing else is asked: the stream then
ends with an error.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from agentflow.config_models import ModelsConfig
from agentflow.errors import AgentFlowError, BudgetExceeded, UpstreamProtocolError
from agentflow.models.cache.batching import EmbeddingBatcher
from agentflow.models.fleet import Deployment
from agentflow.models.money.ledger import Ledger
from agentflow.models.routing.router import Route, Router
from agentflow.models.worker.answers import (
    Assembled,
    Tokens,
    check_completion,
    check_embeddings,
    offered_tools,
    tokens_of,
)
from agentflow.models.worker.attempt import Attempt, Finished, all_ended
from agentflow.models.worker.breaker import Breaker, Gate, Pass
from agentflow.models.worker.provider import JSON, PASSING, Provider, ProviderFailure
from agentflow.models.worker.requests import Asked
from agentflow.models.worker.search import Search

_FIRST_PAUSE: Final = 0.25  # seconds, doubled each time, of which a random part is waited (AWS, "full jitter")
_LONGEST_PAUSE: Final = 8.0
_WAITED: Final = 2.0  # seconds that a provider may ask to be left alone before another is asked instead


class Asking:
    """Asks the models of a fleet.

    Args:
        providers: by name, as in `config.providers`.
        fleet: every deployment at this moment.
    """

    def __init__(
        self,
        config: ModelsConfig,
        providers: Mapping[str, Provider],
        router: Router,
        ledger: Ledger,
        batcher: EmbeddingBatcher,
        fleet: Callable[[], Sequence[Deployment]],
    ) -> None:
        self._config = config
        self._providers = providers
        self._router = router
        self._ledger = ledger
        self._batcher = batcher
        self._fleet = fleet
        routing = config.routing
        self.gates = {name: Gate(config.providers[name]) for name in providers}
        self.breakers = {name: Breaker(routing.failures, routing.cooldown) for name in providers}
        self._behind: set[asyncio.Task[Finished | None]] = set()  # hedges that came second

    async def answer(self, asked: Asked, fingerprint: str = "") -> tuple[Finished, list[str]]:
        """The whole answer, and what failed before it.

        Raises:
            AgentFlowError: as `ModelWorker.complete`.
        """
        search = self._search(asked)
        try:
            while True:
                finished = await self._hedged(asked, search.next(), search, fingerprint)
                if finished is not None:
                    return replace(finished, before=search.paid), search.attempts
        except AgentFlowError as error:
            search.told(error)
            raise

    async def stream(self, asked: Asked, fingerprint: str = "") -> AsyncGenerator[JSON | tuple[Finished, list[str]]]:
        """The chunks that tell something, without `usage`; the last item is what `answer` returns. Close it.

        Raises:
            AgentFlowError: as `answer`; `UpstreamProtocolError` in the middle.
        """
        search = self._search(asked)
        try:
            async with aclosing(self._streamed(asked, search, fingerprint)) as parts:
                async for part in parts:
                    yield part
        except AgentFlowError as error:
            search.told(error)
            raise

    async def _streamed(
        self, asked: Asked, search: Search, fingerprint: str
    ) -> AsyncGenerator[JSON | tuple[Finished, list[str]]]:
        while True:
            route, passed = search.next(), False
            attempt = Attempt(asked, route, self._ledger, self._router, fingerprint)
            try:
                await attempt.begin()
                async with aclosing(self._parts(attempt, search)) as parts:
                    async for part in parts:
                        if isinstance(part, Finished):
                            await attempt.end()
                            yield replace(part, before=search.paid), search.attempts
                            return
                        passed = True
                        yield part
            except ProviderFailure as failure:
                if passed:
                    raise UpstreamProtocolError(
                        f"the answer broke off: {attempt.deployment.key}: {failure.message}", attempts=search.attempts
                    ) from None
                search.failed(route, failure)
            except BudgetExceeded as error:
                search.refused(route, error)
            finally:
                await self._ended(attempt, search)

    @staticmethod
    async def _ended(attempt: Attempt, search: Search) -> None:
        await attempt.end()
        Asking._charged(attempt, search)

    @staticmethod
    def _charged(attempt: Attempt, search: Search) -> None:
        """A model that was paid and did not answer counts for the request."""
        if attempt.answer is None and attempt.tokens is not None:
            search.charge(attempt.cost, attempt.tokens.prompt + attempt.tokens.completion)

    async def close(self) -> None:
        """Return once everything that was asked is settled; hedges are given up."""
        for task in self._behind:
            task.cancel()
        if self._behind:
            await asyncio.wait(set(self._behind))
        await all_ended()

    def _search(self, asked: Asked) -> Search:
        return Search(asked, self._config.routing, self._router, self._fleet(), self.gates, self.breakers)

    async def _hedged(self, asked: Asked, route: Route, search: Search, fingerprint: str) -> Finished | None:
        """The answer of `route`, or of another that is asked too where it is late; None where neither answers.

        What comes second is waited for in the background, and paid.
        """
        after = self._config.routing.hedge_after
        if after is None:
            return await self._tried(asked, route, search, fingerprint)
        tasks = {asyncio.create_task(self._tried(asked, route, search, fingerprint))}
        try:
            done, _ = await asyncio.wait(tasks, timeout=after)
            other = None if done else search.another(route)
            if other is not None:
                tasks.add(asyncio.create_task(self._tried(asked, other, search, fingerprint)))
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                answers = [finished for task in done if (finished := task.result()) is not None]
                for second in answers[1:]:
                    search.charge(second.cost, second.tokens.prompt + second.tokens.completion)
                if answers:
                    return answers[0]
            return None
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        finally:
            for task in tasks:
                if not task.done():
                    self._behind.add(task)
                    task.add_done_callback(self._came_second)

    def _came_second(self, task: asyncio.Task[Finished | None]) -> None:
        self._behind.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the attempt has settled it

    async def _tried(self, asked: Asked, route: Route, search: Search, fingerprint: str) -> Finished | None:
        """Ask one model; None where it failed, or nobody pays for it: the search then knows."""
        attempt = Attempt(asked, route, self._ledger, self._router, fingerprint)
        try:
            await attempt.begin()
            return await self._repeated(attempt, search)
        except ProviderFailure as failure:
            search.failed(route, failure)
        except BudgetExceeded as error:
            search.refused(route, error)
        finally:
            await self._ended(attempt, search)
        return None

    async def _repeated(self, attempt: Attempt, search: Search) -> Finished:
        """Ask until it answers, fails for good, or has failed as often as it may."""
        name = attempt.deployment.provider
        config, breaker = self._config.providers[name], self.breakers[name]
        retries = 0 if self._providers[name].retries_itself else config.retries
        for number in range(retries + 1):
            entered = await self._entered(attempt, search)
            used: Tokens | None = None
            timeout = config.timeout
            try:
                breaker.asked()
                timeout = search.left(timeout)
                answer = await self._asked(attempt, timeout)
                used = self._used(attempt, answer.get("usage"), answer)
                breaker.answered(None)
                return attempt.finished(answer, used)
            except ProviderFailure as failure:
                self._note(attempt, failure, 0, timeout)
                breaker.given_up()  # so far; whoever leaves during the pause has learnt nothing
                if number == retries or not await self._pause(attempt, failure, number, search):
                    if not attempt.blameless:
                        breaker.answered(failure.kind)
                    raise
            except BaseException:
                breaker.given_up()
                raise
            finally:
                entered.back(None if used is None else used.prompt + used.completion)
        raise AssertionError("unreachable")

    async def _asked(self, attempt: Attempt, timeout: float) -> JSON:
        provider, deployment = self._providers[attempt.deployment.provider], attempt.deployment
        if attempt.asked.kind == "embedding":

            async def send(body: JSON) -> JSON:
                return await provider.embed(deployment, body, timeout)

            answer = await self._batcher.embed(deployment.key, attempt.body, send)
            return check_embeddings(answer, len(attempt.body["input"]))
        answer = await provider.complete(deployment, attempt.body, timeout)
        return check_completion(answer, offered_tools(attempt.body))

    async def _parts(self, attempt: Attempt, search: Search) -> AsyncGenerator[JSON | Finished]:
        name = attempt.deployment.provider
        config, breaker = self._config.providers[name], self.breakers[name]
        retries = 0 if self._providers[name].retries_itself else config.retries
        for number in range(retries + 1):
            entered = await self._entered(attempt, search)
            so_far, begun = Assembled(offered_tools(attempt.body)), False
            timeout = config.timeout
            try:
                breaker.asked()
                timeout = search.left(timeout)
                stream = self._providers[name].stream(attempt.deployment, attempt.body, timeout)
                held: list[JSON] = []
                async for chunk in _closing(stream):
                    telling = so_far.add(chunk)
                    if chunk.get("choices") and (telling or not begun):
                        held.append({k: v for k, v in chunk.items() if k != "usage"})
                    if not begun and not telling:
                        continue
                    if not begun:
                        begun, attempt.first = True, attempt.elapsed
                    for each in held:
                        yield each
                    held.clear()
                answer = so_far.completion()
                breaker.answered(None)
                yield attempt.finished(answer, self._used(attempt, so_far.usage, answer, so_far.written))
                return
            except ProviderFailure as failure:
                failure.usage = failure.usage or so_far.usage
                self._note(attempt, failure, so_far.written, timeout)
                breaker.given_up()  # so far; whoever leaves during the pause has learnt nothing
                if begun or number == retries or not await self._pause(attempt, failure, number, search):
                    if not attempt.blameless:
                        breaker.answered(failure.kind)
                    raise
            except BaseException:
                breaker.given_up()
                self._left(attempt, so_far)
                raise
            finally:
                used = attempt.tokens
                entered.back(None if used is None else used.prompt + used.completion)

    async def _entered(self, attempt: Attempt, search: Search) -> Pass:
        name = attempt.deployment.provider
        patience = search.left(self._config.providers[name].timeout)
        try:
            async with asyncio.timeout(patience):
                return await self.gates[name].enter(attempt.asked.route.prompt_tokens + attempt.most)
        except TimeoutError:
            attempt.failure = ProviderFailure("rate_limit", "our own limit of it is used up")
            attempt.blameless = True
            raise attempt.failure from None

    def _note(self, attempt: Attempt, failure: ProviderFailure, written: int, timeout: float) -> None:
        """What a failed try leaves to be paid: as reported, or by what came of it."""
        attempt.failure = failure
        limit = self._config.providers[attempt.deployment.provider].timeout
        attempt.blameless = failure.kind == "timeout" and timeout < limit  # the caller's own time was over
        if failure.usage is not None or written:
            attempt.used(self._used(attempt, failure.usage, None, written))

    def _left(self, attempt: Attempt, so_far: Assembled) -> None:
        """The caller left in the middle of a stream: what came is paid."""
        if attempt.answer is None and (so_far.usage is not None or so_far.written):
            attempt.used(self._used(attempt, so_far.usage, None, so_far.written))

    @staticmethod
    def _used(attempt: Attempt, usage: object, answer: JSON | None, written: int | None = None) -> Tokens:
        if written is None:
            texts = (choice["message"].get("content") or "" for choice in (answer or {}).get("choices", ()))
            written = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return tokens_of(usage, attempt.asked.route.prompt_tokens, written)

    async def _pause(self, attempt: Attempt, failure: ProviderFailure, number: int, search: Search) -> bool:
        """Wait before asking the same model again; False where that is no use."""
        if failure.kind not in PASSING:
            return False
        wanted = failure.retry_after or 0.0
        if wanted > (_WAITED if attempt.route.alternatives else _LONGEST_PAUSE):
            return False
        pause = max(wanted, random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number)))  # noqa: S311 - jitter
        if search.ends is not None and search.left(pause) < pause:
            return False
        await asyncio.sleep(pause)
        self._charged(attempt, search)
        await attempt.again()
        return True


async def _closing(stream: AsyncIterator[JSON]) -> AsyncGenerator[JSON]:
    close: Callable[[], Awaitable[None]] | None = getattr(stream, "aclose", None)
    try:
        async for chunk in stream:
            yield chunk
    finally:
        if close is not None:
            await close()
