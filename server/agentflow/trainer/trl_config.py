"""Settings of a GVPO run on trl 1.16: those of `GRPOConfig`, with what GVPO adds, changes and has no meaning for.

Promises: a batch layout in which every group's weights can be computed exactly (see `groups_fit`). Refuses, with
`TrainingConfigInvalid`: β ≤ 0, and settings of GRPO that would be ignored in silence (clipping, entropy masks,
importance sampling, other losses, divided rewards).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig

from agentflow.trainer.errors import TrainingConfigInvalid

REFERENCES = ("old", "initial", "sync")
# GRPO's means against what GVPO does not suffer from, or does another way.
_NOT_GVPO = (
    "loss_type",
    "epsilon",
    "epsilon_high",
    "delta",
    "importance_sampling_level",
    "multi_objective_aggregation",
    "top_entropy_quantile",
    "entropy_coef",
    "use_adaptive_entropy",
    "off_policy_mask_threshold",
    "use_bias_correction_kl",
)


@dataclass
class GVPOConfig(GRPOConfig):  # type: ignore[misc, unused-ignore]  # trl need not be installed where types are checked
    """Settings of `GVPOTrainer`.

    Attributes:
        beta: temperature β > 0 in units of the reward; the optimum is π′ exp(R/β), so that rewards between 0 and 1
            want about 0.1 to 1. Not the weight of a KL term as in GRPO.
        reference: what π′ is. `old`: the policy that sampled the batch; no second model. `initial`: the policy as it
            was when training began; with LoRA that is the base model, or the adapter that training began with.
            `sync`: a copy that takes over `ref_model_mixup_alpha` of the policy every `ref_model_sync_steps` steps.
        rescale_by_beta: divide the loss by β, so that the learning rate need not follow it.
        weight_clip: bound on |w|, keeping their sum zero; None for none.

    Several updates on one batch are `num_iterations` (or `steps_per_generation`); stale samples need no correction.
    """

    beta: float = field(default=0.5, metadata={"help": "Temperature of GVPO, in units of the reward; greater than 0."})
    reference: str = field(default="old", metadata={"help": "The reference policy: old, initial or sync."})
    rescale_by_beta: bool = field(default=False, metadata={"help": "Divide the loss by beta."})
    weight_clip: float | None = field(default=None, metadata={"help": "Bound on the weights; None for none."})
    scale_rewards: str = field(default="none", metadata={"help": "Must be none: GVPO's optimum needs rewards as is."})
    mask_truncated_completions: bool = field(
        default=True, metadata={"help": "Leave truncated completions out of their group's means."}
    )
    disable_dropout: bool = field(
        default=True, metadata={"help": "Dropout would make the policy and its reference differ at random."}
    )
    vllm_importance_sampling_correction: bool = field(
        default=False, metadata={"help": "Must be false: GVPO holds for any sampling policy."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_method()
        self._check_layout()

    @property
    def groups_fit(self) -> bool:
        """Whether every micro-batch of a device holds whole groups; else their statistics are gathered per step."""
        return bool(self.per_device_train_batch_size % self.num_generations == 0)

    def _check_method(self) -> None:
        for name, value in (("beta", self.beta), ("weight_clip", self.weight_clip)):
            if name == "weight_clip" and value is None:
                continue
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
                raise TrainingConfigInvalid(f"{name} must be a finite number greater than 0, not {value!r}")
        if self.reference not in REFERENCES:
            raise TrainingConfigInvalid(f"reference must be one of {', '.join(REFERENCES)}, not {self.reference!r}")
        if self.sync_ref_model:
            raise TrainingConfigInvalid("sync_ref_model is GRPO's", fix='set reference="sync" instead')
        if self.scale_rewards != "none":
            raise TrainingConfigInvalid(
                "GVPO does not divide rewards by their deviation", fix='leave scale_rewards at "none", and set beta'
            )
        if self.vllm_importance_sampling_correction:
            raise TrainingConfigInvalid(
                "GVPO needs no importance sampling", fix="leave vllm_importance_sampling_correction false"
            )
        usual: dict[str, Any] = {one.name: one.default for one in dataclasses.fields(GRPOConfig)}
        set_here = [name for name in _NOT_GVPO if getattr(self, name) != usual[name]]
        if set_here:
            raise TrainingConfigInvalid(
                f"GVPO has no {', '.join(set_here)}: they would do nothing", fix="leave them at their defaults"
            )

    def _check_layout(self) -> None:
        """Every group must be in one optimizer step, whole on one device or with the step's whole batch gathered."""
        k, step = self.num_generations, self.gradient_accumulation_steps
        on_one_device = self.per_device_train_batch_size * step % k == 0 and self.steps_per_generation % step == 0
        if self.groups_fit or on_one_device or self.steps_per_generation == step:
            return
        raise TrainingConfigInvalid(
            f"groups of {k} would be split over optimizer steps: {self.per_device_train_batch_size} rows a device, "
            f"{step} accumulation steps, {self.steps_per_generation} steps per generation",
            fix="make per_device_train_batch_size a multiple of num_generations, "
            "or steps_per_generation equal to gradient_accumulation_steps",
        )
