"""GVPO on trl 1.16: `GVPOTrainer`, a `GRPOTrainer` that keeps groups whole and has GVPO's loss (arXiv 2504.19599).

Promises: the gradient is that of `gvpo.gvpo_loss` over whole groups, however the batch is cut into micro-batches and
devices; rows whose rewards are all None, and truncated ones, are left out of their group's means; a run that is resumed
from a checkpoint goes on bit by bit as if it had not stopped, also in the middle of several updates on one batch.
A trajectory is one row: a multi-turn rollout returns its turns as one completion with `env_mask` 0 on what tools said.
Nothing is sent anywhere: trl's telemetry is off.

Refuses, with `TrainingConfigInvalid`: arguments that are no `GVPOConfig`, and what a reference cannot be made of.
"""

from __future__ import annotations

import contextlib
import logging
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer
from trl.models import prepare_deepspeed, prepare_fsdp
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.callbacks import SyncRefModelCallback
from trl.trainer.utils import (
    add_fused_lm_head,
    disable_dropout_in_model,
    split_pixel_values_by_grid,
    split_tensor_dict,
    unsplit_pixel_values_by_grid,
)

from agentflow.trainer import reference
from agentflow.trainer.errors import TrainingConfigInvalid
from agentflow.trainer.groups import Batch, EpochSampler, permute_groups
from agentflow.trainer.gvpo import GroupStatistics, GVPOLoss, group_statistics, gvpo_loss, kept_trajectories, log_ratios
from agentflow.trainer.trl_config import GVPOConfig

__all__ = ["GVPOConfig", "GVPOTrainer"]

_FORWARD = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "token_type_ids",
    "mm_token_type_ids",
    "image_position_ids",
)
_STATISTICS = ("log_ratio", "reward", "kept", "shift")
_REFERENCE_FILE = "gvpo_reference.safetensors"


class GVPOTrainer(GRPOTrainer):  # type: ignore[misc, unused-ignore]
    """trl's `GRPOTrainer` with GVPO's loss; the same arguments, `args` a `GVPOConfig`."""

    _step: int
    _buffered_inputs: list[Batch] | None
    _tag_names = ("trl", "gvpo")
    _name = "GVPO"
    _paper = {  # noqa: RUF012  # as in trl
        "title": "GVPO: Group Variance Policy Optimization for Large Language Model Post-Training",
        "id": "2504.19599",
        "citation": textwrap.dedent("""\
            @article{zhang2025gvpo,
                title  = {{GVPO: Group Variance Policy Optimization for Large Language Model Post-Training}},
                author = {Kaichen Zhang and Yuzhong Hong and Junwei Bao and Hongfei Jiang and others},
                year   = 2025,
                eprint = {arXiv:2504.19599},
            }"""),
    }

    def __init__(self, model: Any, reward_funcs: Any = None, args: GVPOConfig | None = None, **settings: Any) -> None:
        if args is None:
            args = GVPOConfig("gvpo")
        if not isinstance(args, GVPOConfig):
            raise TrainingConfigInvalid(
                f"GVPOTrainer needs a GVPOConfig, not {type(args).__name__}", fix="build args with GVPOConfig(…)"
            )
        own_copy = None
        adapter = settings.get("peft_config") is not None or (not isinstance(model, str) and is_peft_model(model))
        if args.reference != "old" and not isinstance(model, str) and not adapter:
            if args.cast_lm_head_to_fp32:
                raise TrainingConfigInvalid(
                    f'cast_lm_head_to_fp32 with reference="{args.reference}" needs a model that trl loads',
                    fix="give the path of a saved model",
                )
            own_copy = reference.frozen_copy(model)
        shown = 0.0 if args.reference == "old" or own_copy is not None else args.beta
        with _trl_beta(args, shown), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*'rollout_func', which is an experimental")  # of 1.16, as read
            super().__init__(model, reward_funcs, args, **settings)
        # To trl, beta says whether log-probabilities of a reference are wanted.
        self.beta = 0.0 if args.reference == "old" else args.beta
        if own_copy is not None:
            self.ref_model = self._prepared(own_copy)
        if args.reference == "sync":
            self._follow()

        logging.getLogger(GRPOTrainer.__module__).addFilter(_shows_no_row)

    def _prepared(self, model: Any) -> Any:
        if self.args.disable_dropout:
            disable_dropout_in_model(model)
        add_fused_lm_head(model, temperature=self.temperature)
        if self.is_deepspeed_enabled:
            return prepare_deepspeed(model, self.accelerator)
        if self.is_fsdp_enabled:
            return prepare_fsdp(model, self.accelerator)
        return self.accelerator.prepare_model(model, evaluation_mode=True)

    def _follow(self) -> None:
        if self.is_fsdp_enabled or self._dist.is_zero3:
            raise TrainingConfigInvalid(
                'reference="sync" would not survive a checkpoint of a sharded model', fix='use "old" or "initial"'
            )
        if is_peft_model(self.model):
            reference.add_adapter(self.model)
            self.add_callback(reference.FollowAdapter())
        else:
            self.add_callback(SyncRefModelCallback(ref_model=self._plain_reference(), accelerator=self.accelerator))

    def _plain_reference(self) -> Any:
        return self.accelerator.unwrap_model(self.ref_model)

    def _send_telemetry(self) -> None:
        return

    # Batches

    def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
        return EpochSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        per_function: Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weighted = (per_function * self.reward_weights.to(per_function.device)).nansum(dim=1)
        self._rewards = torch.where(per_function.isnan().all(dim=1), torch.nan, weighted)
        return per_function

    def _generate_and_score_completions(self, inputs: Any) -> Batch:
        batch: Batch = super()._generate_and_score_completions(inputs)
        del batch["advantages"]
        rows = len(inputs)
        first = self.accelerator.process_index * rows
        batch["rewards"] = self._rewards[first : first + rows]
        k = self.num_generations if self.model.training else self.num_generations_eval
        batch["group_ids"] = torch.arange(first, first + rows, device=self._rewards.device) // k
        return batch

    def _prepare_inputs(self, generation_batch: Any) -> Batch:
        if not self.model.training:
            return self._generate_and_score_completions(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = split_pixel_values_by_grid(self._generate_and_score_completions(generation_batch))
            parts = split_tensor_dict(permute_groups(batch, self.num_generations), steps)
            self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in parts]
        place = self._step % steps
        window = self.args.gradient_accumulation_steps
        if not self.args.groups_fit and self._step % window == 0:
            self._share_statistics(self._buffered_inputs[place : place + window])
        chosen: Batch = self._buffered_inputs[place]
        return chosen

    def _share_statistics(self, micro_batches: Sequence[Batch]) -> None:
        """Tell each micro-batch of an optimizer step what its groups' weights need from the others and other devices.

        Costs a forward pass, except in a batch's first step from the policy that sampled it, where L = 0.
        """
        ratios, kept = [], []
        for part in micro_batches:
            mask = _loss_mask(part)
            if self._reference_logps(part) is None:
                ratios.append(torch.zeros(len(mask), device=mask.device))
            else:
                with (
                    torch.no_grad(),
                    disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
                ):
                    logps, _, _ = self._score(self.model, part)
                ratios.append(_log_ratios(logps, self._reference_logps(part), mask))
            kept.append(kept_trajectories(mask, part["rewards"], torch.arange(len(mask), device=mask.device)))
        shared = self._gathered_statistics(
            torch.cat(ratios),
            torch.cat([part["rewards"] for part in micro_batches]),
            torch.cat([part["group_ids"] for part in micro_batches]),
            torch.cat(kept),
        )
        first = 0
        for part in micro_batches:
            last = first + len(part["rewards"])
            part.update({f"group_{name}": getattr(shared, name)[first:last] for name in _STATISTICS})
            first = last

    def _gathered_statistics(self, ratios: Tensor, rewards: Tensor, groups: Tensor, kept: Tensor) -> GroupStatistics:
        gather = self.accelerator.gather
        whole = group_statistics(
            gather(ratios.detach()),
            gather(rewards),
            gather(groups),
            gather(kept),
            self.args.beta,
            clip=self.args.weight_clip,
        )
        first = self.accelerator.process_index * len(rewards)
        return GroupStatistics(*(getattr(whole, name)[first : first + len(rewards)] for name in _STATISTICS))

    # Loss

    def _score(self, model: Any, inputs: Batch, **wanted: bool) -> tuple[Tensor, Any, Any]:
        """Return log-probabilities of the completions' tokens, and entropies and auxiliary loss where wanted."""
        scored: tuple[Tensor, Any, Any] = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].size(1),
            **wanted,
            **{name: inputs.get(name) for name in _FORWARD},
        )
        return scored

    def _reference_logps(self, inputs: Batch) -> Tensor | None:
        """log π′ of the batch; None where it is the policy's own, before its first step on the batch."""
        return inputs.get("old_per_token_logps" if self.args.reference == "old" else "ref_per_token_logps")

    def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
        training = self.model.training
        mask = _loss_mask(inputs)
        logps, entropies, auxiliary = self._score(
            model, inputs, compute_entropy=True, compute_aux_loss=self.aux_loss_enabled
        )
        ref_logps = self._reference_logps(inputs)
        if ref_logps is None:
            ref_logps = logps.detach()
        k = self.num_generations if training else self.num_generations_eval
        result = gvpo_loss(
            logps,
            ref_logps,
            mask,
            inputs["rewards"],
            inputs["group_ids"],
            self.args.beta,
            rescale=self.args.rescale_by_beta,
            clip=self.args.weight_clip,
            statistics=self._statistics(inputs, logps, ref_logps, mask),
            groups=len(mask) / k,
        )
        self._note(result, entropies, logps.detach() - ref_logps, mask)
        loss = result.loss
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * auxiliary
            self._metrics[self._mode]["aux_loss"].append(self.accelerator.gather(auxiliary.detach()).mean().item())
        return loss / self.current_gradient_accumulation_steps if training else loss

    def _statistics(self, inputs: Batch, logps: Tensor, ref_logps: Tensor, mask: Tensor) -> GroupStatistics | None:
        """The groups' statistics where a group may be spread; None where the micro-batch has whole groups."""
        if self.model.training:
            if self.args.groups_fit:
                return None
            return GroupStatistics(*(inputs[f"group_{name}"] for name in _STATISTICS))
        kept = kept_trajectories(mask, inputs["rewards"], torch.arange(len(mask), device=mask.device))
        return self._gathered_statistics(
            _log_ratios(logps, ref_logps, mask), inputs["rewards"], inputs["group_ids"], kept
        )

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def _note(self, result: GVPOLoss, entropies: Tensor, drift: Tensor, mask: Tensor) -> None:
        """Keep the metrics of one micro-batch, over all devices: `gvpo/…`, `kl` to the reference, `entropy`."""
        drift = torch.where(mask.bool(), drift.float(), 0.0)
        per_token_kl = torch.exp(-drift) + drift - 1
        sums = torch.stack(
            [
                result.kept.sum().float(),
                torch.ones_like(result.kept).sum().float(),
                result.weights.abs().sum().float(),
                result.centred_rewards.square().sum().float(),
                result.implicit_rewards.sum().float(),
                result.implicit_rewards.square().sum().float(),
                mask.sum().float(),
                per_token_kl.sum(),
                (entropies.float() * mask).sum(),
            ]
        )
        kept, rows, weights, rewards, implicit, squares, tokens, kl, entropy = self.accelerator.reduce(
            sums.detach(), reduction="sum"
        ).tolist()
        kept, rows, tokens = max(kept, 1.0), max(rows, 1.0), max(tokens, 1.0)
        noted = {
            "gvpo/kept": float(kept) / rows,
            "gvpo/weight_abs_mean": weights / kept,
            "gvpo/centred_reward_std": (rewards / kept) ** 0.5,
            "gvpo/implicit_reward_mean": implicit / kept,
            "gvpo/implicit_reward_std": max(squares / kept - (implicit / kept) ** 2, 0.0) ** 0.5,
            "kl": kl / tokens,
            "entropy": entropy / tokens,
        }
        for name, value in noted.items():
            self._metrics[self._mode][name].append(value)

    # Checkpoints

    def _state_file(self, folder: str | Path) -> Path:
        return Path(folder) / f"gvpo_state_{self.accelerator.process_index}.pt"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.save_only_model:
            return
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        between = self._step % (self.args.steps_per_generation * self.num_iterations) == 0
        state = {
            "step": self._step,
            "processes": self.accelerator.num_processes,
            "batches": None if between else self._buffered_inputs,
        }
        torch.save(state, self._state_file(folder))
        if self._saves_reference and self.args.should_save:
            weights = {
                name: value.detach().clone(memory_format=torch.contiguous_format)
                for name, value in self._plain_reference().state_dict().items()
            }
            save_file(weights, folder / _REFERENCE_FILE)

    @property
    def _saves_reference(self) -> bool:
        return bool(self.args.reference == "sync" and not is_peft_model(self.model))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        self._step, self._buffered_inputs = self._saved_progress(Path(checkpoint))
        if self._saves_reference:
            file = Path(checkpoint) / _REFERENCE_FILE
            if not file.exists():
                raise TrainingConfigInvalid(
                    "the checkpoint has no reference to go on with", fix="resume from one saved by GVPOTrainer"
                )
            self._plain_reference().load_state_dict(load_file(file))

    def _saved_progress(self, folder: Path) -> tuple[int, list[Batch] | None]:
        """Return how many micro-batches were trained on, and those of the batch that is not used up.

        A checkpoint without them (of another trainer) is gone on from with a new batch.
        """
        file = self._state_file(folder)
        if not file.exists():
            done = TrainerState.load_from_json(str(folder / "trainer_state.json")).global_step
            return done * self.args.gradient_accumulation_steps, None
        state = torch.load(file, map_location=self.accelerator.device, weights_only=True)
        if state["processes"] != self.accelerator.num_processes and state["batches"] is not None:
            raise TrainingConfigInvalid(
                f"the checkpoint is in the middle of a batch of {state['processes']} processes, "
                f"but {self.accelerator.num_processes} are running",
                fix="resume with as many, or from a checkpoint between two batches",
            )
        return state["step"], state["batches"]


def _shows_no_row(record: logging.LogRecord) -> bool:
    """Keep trl from logging prompt and completion of a row that cannot be scored; `gvpo/kept` counts them."""
    return "All reward functions returned None" not in str(record.msg)


@contextlib.contextmanager
def _trl_beta(args: GVPOConfig, shown: float) -> Iterator[None]:
    """Show trl's constructor another β: to it, one that is not 0 asks for a reference loaded from disk."""
    own, args.beta = args.beta, shown
    try:
        yield
    finally:
        args.beta = own


def _loss_mask(inputs: Batch) -> Tensor:
    mask: Tensor = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def _log_ratios(logps: Tensor, ref_logps: Tensor | None, mask: Tensor) -> Tensor:
    assert ref_logps is not None
    rows = torch.arange(len(mask), device=mask.device)
    return log_ratios(logps, ref_logps, mask, rows, len(mask)).detach()
