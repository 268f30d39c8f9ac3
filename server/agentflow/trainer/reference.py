"""The reference policy π′ where it is a model of its own: made from the policy, and following it.

A full model is copied in memory before trl changes it, so that a policy that was never saved, or was trained since, is
its own reference; stock trl loads the one of that name from disk. A LoRA policy has a second, frozen adapter `ref`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate.utils import is_peft_model
from transformers import TrainerCallback

from agentflow.trainer.errors import TrainingConfigInvalid

ADAPTER = "ref"
POLICY = "default"


def frozen_copy(model: Any) -> Any:
    """Return a copy of the model in memory that is not trained."""
    copied = copy.deepcopy(model)
    copied.requires_grad_(False)
    copied.eval()
    return copied


def add_adapter(model: Any) -> None:
    """Give a PEFT model the frozen adapter `ref`, equal to the one that is trained, unless it has it.

    Raises:
        TrainingConfigInvalid: the kind of adapter is not stored per layer, as LoRA's is.
    """
    if ADAPTER in model.peft_config:
        return
    model.add_adapter(ADAPTER, model.peft_config[POLICY])
    if not mix_adapter(model, 1.0):
        raise TrainingConfigInvalid(
            f"{type(model.peft_config[POLICY]).__name__} has no adapter that a reference can follow",
            fix='use LoRA, or reference="old" or "initial"',
        )
    for name, parameter in model.named_parameters():
        if f".{ADAPTER}." in name:
            parameter.requires_grad_(False)


def mix_adapter(model: Any, share: float) -> int:
    """Move `ref` towards the trained adapter by `share` of the way; return how many tensors that were."""
    moved = 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f".{POLICY}." in name:
                model.get_parameter(name.replace(f".{POLICY}.", f".{ADAPTER}.")).lerp_(parameter, share)
                moved += 1
    return moved


class FollowAdapter(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """`ref` takes over `ref_model_mixup_alpha` of the policy every `ref_model_sync_steps` steps."""

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Called by transformers' training loop after each optimizer step."""
        model = given["model"]
        if state.global_step % args.ref_model_sync_steps == 0:
            policy = model if is_peft_model(model) else getattr(model, "module", model)
            mix_adapter(policy, args.ref_model_mixup_alpha)
