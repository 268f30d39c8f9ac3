"""Groups of a prompt's responses, kept whole on their way through trl's batches.

Stock trl shuffles a generation batch by rows before it cuts it into micro-batches, which scatters every group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler

Batch = dict[str, Any]


def permute_groups(batch: Mapping[str, Any], size: int) -> Batch:
    """Return the batch with its groups of `size` consecutive rows in random order, each in one piece.

    Values are tensors or lists with a row each; scalars and None stay as they are. Rows that are no whole groups (those
    spread over devices) keep their order. Draws from torch's global generator, which checkpoints save.
    """
    rows = len(next(value for value in batch.values() if isinstance(value, torch.Tensor) and value.ndim))
    if rows % size:
        return dict(batch)
    order = (torch.randperm(rows // size)[:, None] * size + torch.arange(size)).flatten()
    return {name: _reordered(value, order) for name, value in batch.items()}


def _reordered(value: Any, order: torch.Tensor) -> Any:
    if isinstance(value, torch.Tensor):
        return value[order.to(value.device)] if value.ndim else value
    return None if value is None else [value[place] for place in order.tolist()]


class EpochSampler(RepeatSampler):  # type: ignore[misc, unused-ignore]
    """trl's sampler, with an order that depends on the epoch's number and not on how many were drawn before it.

    Otherwise a run that is resumed in its second epoch would see the prompts in the order of the first.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch `epoch`, counted from 0; called by transformers' training loop."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + self._epoch)
        return iter(super().__iter__())
