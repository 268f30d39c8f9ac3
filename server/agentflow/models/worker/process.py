"""The model worker's process: reads what it is to do from its standard input, listens, and ends with its gateway.

It promises to say `ready` only once it answers, and after that, a line each, what budgets warn of; to end, with
everything settled and written, as soon as its input closes, which it does when the gateway ends however it ends; and to
write nothing on standard error but its own lines, without prompts, answers, keys or what libraries say of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import signal
import socket
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from agentflow.models.money.entries import BudgetWarning

_LINES: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_DRAIN: Final = 1.0  # seconds that requests under way have at the end


def main() -> int:
    """Run until the standard input closes; the process's exit status."""
    _quiet()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints goes where it does no harm
    import uvloop

    try:
        return uvloop.run(_run(orjson.loads(line), answers))
    except Exception as error:  # its text may quote the configuration, and keys with it
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else ""
        logging.getLogger("agentflow.models").error("The model worker has failed: %s%s", type(error).__name__, place)
        return 1


async def _run(told: dict[str, object], answers: int) -> int:
    import uvicorn

    from agentflow.config import StoreConfig
    from agentflow.config_models import ModelsConfig
    from agentflow.errors import AgentFlowError
    from agentflow.models.worker.app import App
    from agentflow.models.worker.serving import Serving
    from agentflow.models.worker.wire import READY, error_body

    try:
        models, store = ModelsConfig.model_validate(told["models"]), StoreConfig.model_validate(told["store"])
        serving = Serving(models, store, Path(str(told["data_dir"])), partial(_warned, answers))
    except AgentFlowError as error:
        os.write(answers, orjson.dumps(error_body(error)[1]) + b"\n")
        return 2
    serving.start()
    await serving.warm()
    config = uvicorn.Config(
        App(serving, str(told["key"])),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=int(_DRAIN),
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(told["socket"]))
    listener.listen(1024)  # from now on whoever connects is answered
    running = asyncio.create_task(server.serve(sockets=[listener]))
    gc.collect()
    gc.freeze()  # what the start made stays: no use in looking at it again
    os.write(answers, READY)
    await _closed_input()
    server.should_exit = True
    await running
    await serving.close()
    return 0


def _warned(answers: int, warning: BudgetWarning) -> None:
    """A line for the gateway, which keeps the audit log; where it has gone, the log on standard error has it."""
    with contextlib.suppress(OSError):
        os.write(answers, orjson.dumps({"budget": dataclasses.asdict(warning)}) + b"\n")


async def _closed_input() -> None:
    """Return once nobody holds the other end of the standard input."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()

    def readable() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            gone.set()

    os.set_blocking(0, False)
    loop.add_reader(0, readable)
    loop.add_signal_handler(signal.SIGTERM, gone.set)
    await gone.wait()


def _quiet() -> None:
    logging.basicConfig(level=logging.CRITICAL, format=_LINES, stream=sys.stderr)
    logging.getLogger("agentflow").setLevel(logging.INFO)
    warnings.simplefilter("ignore")  # their texts may quote what was asked


if __name__ == "__main__":
    sys.exit(main())
