"""`examples/serve.py` starts everything, and leaves nothing behind when it ends."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
from gateway_process import wait_until
from sample_world import sample_world


def alive(process: psutil.Process) -> bool:
    """Whether it runs; an orphan that nobody reaped yet has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_its_processes(number: signal.Signals, tmp_path: Path) -> None:
    with sample_world(tmp_path) as world:
        process = world.gateway.process
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3  # the web server, the gateway, and the help-desk below it
        process.send_signal(number)
        process.wait(30)
        wait_until(lambda: not any(alive(child) for child in children), "every child to end")


def test_it_ends_with_the_gateway(tmp_path: Path) -> None:
    with sample_world(tmp_path) as world:
        process = psutil.Process(world.gateway.pid)
        children = process.children(recursive=True)
        gateway = next(child for child in children if "agentflow" in child.cmdline() and "serve" in child.cmdline())
        gateway.terminate()
        world.gateway.process.wait(30)
        wait_until(lambda: not any(alive(child) for child in children), "every child to end")
