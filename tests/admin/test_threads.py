"""The administration's threads are its own: calls never wait for a busy administrator, nor does the gateway's end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from agentflow.admin.threads import Long, in_background, in_thread
from agentflow.errors import LimitExceeded, NotFound


async def test_a_call_finds_a_thread_while_administrators_keep_theirs_busy() -> None:
    free = threading.Event()
    busy = [asyncio.create_task(in_thread(free.wait, 60)) for _ in range(50)]
    long = Long()
    busy += [asyncio.create_task(long.done(lambda: free.wait(60))) for _ in range(8)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "here"), 30) == "here"
    free.set()
    assert all(await asyncio.gather(*busy))


async def test_of_what_takes_long_one_runs_a_few_wait_and_the_rest_is_refused() -> None:
    long, free, running, most = Long(), threading.Event(), [0], [0]

    def work() -> int:
        running[0] += 1
        most[0] = max(most[0], running[0])
        free.wait(60)
        running[0] -= 1
        return 7

    tasks = [asyncio.create_task(long.done(work)) for _ in range(9)]
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(LimitExceeded):
        await long.done(work)
    tasks[0].cancel()  # whoever leaves frees no turn that is still taken
    await asyncio.sleep(0)
    free.set()
    assert (await asyncio.gather(*tasks[1:])) == [7] * 8
    assert most[0] == 1
    assert await long.done(lambda: 8) == 8


async def test_what_goes_wrong_in_a_thread_is_told() -> None:
    def wrong() -> None:
        raise NotFound("nothing there")

    for work in (in_thread(wrong), in_background(wrong), Long().done(wrong)):
        with pytest.raises(NotFound):
            await work


def test_the_end_of_the_process_waits_for_nothing_that_takes_long() -> None:
    code = (
        "import asyncio, time\n"
        "from agentflow.admin.threads import Long\n"
        "async def main():\n"
        "    task = asyncio.create_task(Long().done(lambda: time.sleep(600)))\n"
        "    await asyncio.sleep(0.2)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
