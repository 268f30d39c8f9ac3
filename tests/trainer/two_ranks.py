"""One of two processes that train together: `torchrun --nproc-per-node 2 two_ranks.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from trainer import tiny

SETTINGS: dict[str, Any] = {
    "optim": "sgd",
    "learning_rate": 0.1,
    "max_grad_norm": 0.0,
    "num_iterations": 2,
    "max_steps": 4,
    "weight_clip": 0.3,
}
# What one process is given, and what each of two.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "whole": ({"per_device_train_batch_size": 8}, {"per_device_train_batch_size": 4}),
    "parts": (
        {"per_device_train_batch_size": 8},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    ),
    "spread": (
        {"per_device_train_batch_size": 8, "num_generations": 8, "reference": "initial"},
        {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "num_generations": 8,
            "reference": "initial",
        },
    ),
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    checksums = {}
    for case, (_, each) in CASES.items():
        trainer = tiny.trainer(
            folder / case, ddp_backend="gloo", parts={"rollout_func": tiny.fixed_rollout}, **SETTINGS, **each
        )
        trainer.train()
        assert trainer.accelerator.num_processes == 2
        checksums[case] = tiny.checksum(trainer.accelerator.unwrap_model(trainer.model))
        if trainer.accelerator.is_main_process:
            torch.save(tiny.weights(trainer.accelerator.unwrap_model(trainer.model)), folder / f"{case}.pt")
    (folder / f"{trainer.accelerator.process_index}.json").write_text(json.dumps(checksums))
    torch.distributed.barrier()
    # Freeing DDP's reducer can wait, with the interpreter's lock held, for a gloo thread that wants that lock (2.13).
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
