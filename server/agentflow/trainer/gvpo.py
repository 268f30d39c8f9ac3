"""Group Variance Policy Optimization: the loss, in plain torch (arXiv 2504.19599, section 3).

For a prompt with k responses y_i, rewards R_i, policy π, reference π′ and temperature β > 0:

    L_i = Σ_t log π(y_it) − log π′(y_it)     over generated tokens only; a sum, not a mean
    c_i = R_i − mean R                       not divided by a standard deviation
    w_i = c_i − β (L_i − mean L)             Σ w_i = 0
    loss = 1/(2(k−1)) Σ w_i²                 mean L detached; ∇loss = −β/(k−1) Σ sg(w_i) ∇log π(y_i)

Promises: the mean of that over the groups; the unique optimum π* ∝ π′ exp(R/β) whatever policy sampled the responses,
as long as it can sample all of them; sums in float32 (float64 for float64) also where log-probabilities are bfloat16.
A trajectory may be several rows (the turns of a planner, each with a prompt of its own): one reward, one weight.

The reference π′ is whatever `ref_logps` were computed with. Three are of use, and `trl_adapter` offers them by name:
`old` is the policy that sampled (the step is then β times that of RLOO, and no anchor holds the policy for good),
`initial` the policy before training (the optimum stays put: KL-regularised for good), and
`sync` a copy that follows the policy every so many steps (the anchor moves on in stages).

A trajectory that cannot be scored (its reward is NaN) or that has no token to learn from (its mask is zero, as trl
leaves truncated completions) is left out of both means, and of k. A group that is left with fewer than two says
nothing and adds zero. Refused, with `TrainingDataInvalid`: shapes that do not fit, no trajectory at all, a trajectory
without rows, a group of one, infinite rewards, log-probabilities that are no numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from agentflow.trainer.errors import TrainingDataInvalid

_HALVINGS = 60


@dataclass(frozen=True)
class GVPOLoss:
    """One loss and what it was made of; all but `loss` are detached, of shape (trajectories,), in the loss's precision.

    Attributes:
        loss: scalar to call `backward` on.
        weights: w_i, after clipping where that is asked for; they sum to zero in every group; 0 where left out.
        centred_rewards: c_i; 0 where left out.
        implicit_rewards: β L_i, the reward that the policy's departure from the reference stands for, up to a
            constant of the prompt; 0 where left out.
        kept: which trajectories count (bool).
    """

    loss: Tensor
    weights: Tensor
    centred_rewards: Tensor
    implicit_rewards: Tensor
    kept: Tensor


@dataclass(frozen=True)
class GroupStatistics:
    """What every trajectory must know of its group, of shape (trajectories,) each, detached.

    Attributes:
        log_ratio: mean L of the group's kept trajectories.
        reward: mean R of them.
        kept: how many they are.
        shift: what is taken from w before it is clipped, so that the clipped weights sum to zero; 0 without a clip.
    """

    log_ratio: Tensor
    reward: Tensor
    kept: Tensor
    shift: Tensor


def gvpo_loss(
    logps: Tensor,
    ref_logps: Tensor,
    mask: Tensor,
    rewards: Tensor,
    group_ids: Tensor,
    beta: float,
    *,
    traj_ids: Tensor | None = None,
    rescale: bool = False,
    clip: float | None = None,
    statistics: GroupStatistics | None = None,
    groups: float | None = None,
) -> GVPOLoss:
    """Return the GVPO loss of a batch of trajectories.

    Args:
        logps: log π of each token, (rows, tokens), any padding.
        ref_logps: log π′ of each token, (rows, tokens); no gradient flows into it.
        mask: 1 for tokens that the policy generated, 0 for prompt, tool output and padding, (rows, tokens).
        rewards: R of each trajectory, (trajectories,); NaN where it could not be scored.
        group_ids: whole numbers; trajectories of one prompt have the same, (trajectories,).
        beta: β > 0, in units of the reward: the smaller, the further the optimum is from the reference.
        traj_ids: the trajectory of each row, 0 ≤ id < trajectories, (rows,); default: each row is one.
        rescale: divide by β, so that the step's size does not depend on it.
        clip: bound on |w|. Weights are projected onto {|w| ≤ clip, Σ w = 0 in each group}, and the loss becomes the
            one whose gradient those weights give (quadratic inside the bound, linear outside).
        statistics: the groups' own, where `logps` holds only a part of each group (see `group_statistics`).
        groups: the number of groups to take the mean over; default: those present.

    Raises:
        TrainingDataInvalid: see the module's first lines.
    """
    owners = _checked(logps, ref_logps, mask, rewards, group_ids, traj_ids)
    _check_scale("beta", beta)
    count = rewards.shape[0]
    log_ratio = log_ratios(logps, ref_logps, mask, owners, count)
    rewards = rewards.detach().to(log_ratio.dtype)
    kept = kept_trajectories(mask, rewards, owners)
    log_ratio = torch.where(kept, log_ratio, 0.0)
    rewards = torch.where(kept, rewards, 0.0)
    _check_finite(log_ratio, rewards)
    if statistics is None:
        _check_groups(group_ids)
        statistics = group_statistics(log_ratio, rewards, group_ids, kept, beta, clip=clip)
    if groups is None:
        groups = len(torch.unique(group_ids))
    counted = kept & (statistics.kept > 1)
    centred = torch.where(counted, rewards - statistics.reward, 0.0)
    error = torch.where(counted, centred - beta * (log_ratio - statistics.log_ratio), 0.0)
    weights = torch.where(counted, _bounded(error.detach(), statistics.shift, clip), 0.0)
    # w² − ½w² = ½w² where nothing is clipped; elsewhere the loss whose gradient with respect to w is the clipped w.
    per_trajectory = (weights * error - weights.square() / 2) / (statistics.kept - 1).clamp(min=1)
    loss = per_trajectory.sum() / groups
    if rescale:
        loss = loss / beta
    return GVPOLoss(loss, weights, centred, beta * log_ratio.detach(), kept)


def log_ratios(logps: Tensor, ref_logps: Tensor, mask: Tensor, traj_ids: Tensor, trajectories: int) -> Tensor:
    """Return L of each trajectory, (trajectories,), with its gradient; what is masked may be anything, NaN included."""
    precision = torch.promote_types(logps.dtype, torch.float32)
    present = mask.bool()
    per_token = (
        torch.where(present, logps.to(precision), 0.0) - torch.where(present, ref_logps.to(precision), 0.0).detach()
    )
    return _sums(per_token.sum(1), traj_ids, trajectories)


def kept_trajectories(mask: Tensor, rewards: Tensor, traj_ids: Tensor) -> Tensor:
    """Return which trajectories are scored and have a token to learn from, (trajectories,) bool."""
    tokens = _sums(mask.bool().sum(1).to(torch.float32), traj_ids, rewards.shape[0])
    return (tokens > 0) & ~rewards.isnan()


def group_statistics(
    log_ratio: Tensor,
    rewards: Tensor,
    group_ids: Tensor,
    kept: Tensor,
    beta: float,
    *,
    clip: float | None = None,
) -> GroupStatistics:
    """Return what `gvpo_loss` needs of whole groups, for every trajectory of them, (trajectories,) all.

    For groups that are spread over micro-batches or processes: gather the four tensors, call this on all of them, and
    give each part its slice. The result is that of the whole group exactly, because mean L is detached.
    """
    if clip is not None:
        _check_scale("clip", clip)
    _, place = torch.unique(group_ids, return_inverse=True)
    groups = int(place.max()) + 1
    log_ratio, rewards = torch.where(kept, log_ratio.detach(), 0.0), torch.where(kept, rewards, 0.0).to(log_ratio.dtype)
    sizes = _sums(kept.to(log_ratio.dtype), place, groups)
    mean_log_ratio = _sums(log_ratio, place, groups) / sizes.clamp(min=1)
    mean_reward = _sums(rewards, place, groups) / sizes.clamp(min=1)
    if clip is None:
        shift = torch.zeros_like(mean_reward)
    else:
        weights = rewards - mean_reward[place] - beta * (log_ratio - mean_log_ratio[place])
        shift = _zero_sum_shift(weights[kept], place[kept], groups, clip)
    return GroupStatistics(mean_log_ratio[place], mean_reward[place], sizes[place], shift[place])


def _zero_sum_shift(weights: Tensor, place: Tensor, groups: int, clip: float) -> Tensor:
    """Return, for each group, the s with Σ clamp(w_i − s, −clip, clip) = 0: the Euclidean projection's multiplier.

    The sum falls with s and is piecewise linear: halving finds the piece, one step on it the root.
    """
    reach = weights.abs().max() if weights.numel() else weights.new_zeros(())
    low, high = (-reach).repeat(groups), reach.repeat(groups)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = _sums(_bounded(weights, middle[place], clip), place, groups) > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    shift = (low + high) / 2
    inside = ((weights - shift[place]).abs() < clip).to(weights.dtype)
    residual = _sums(_bounded(weights, shift[place], clip), place, groups)
    return shift + residual / _sums(inside, place, groups).clamp(min=1)


def _bounded(weights: Tensor, shift: Tensor, clip: float | None) -> Tensor:
    return weights if clip is None else (weights - shift).clamp(-clip, clip)


def _sums(values: Tensor, place: Tensor, count: int) -> Tensor:
    return values.new_zeros(count).index_add(0, place, values)


def _check_scale(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise TrainingDataInvalid(f"{name} must be a finite number greater than 0, not {value!r}")


def _checked(
    logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, group_ids: Tensor, traj_ids: Tensor | None
) -> Tensor:
    """Return the trajectory of each row, or say what does not fit."""
    _check_kinds(logps, ref_logps, mask, rewards, group_ids, traj_ids)
    for name, given in (("ref_logps", ref_logps), ("mask", mask)):
        if given.shape != logps.shape:
            raise TrainingDataInvalid(f"{name} is {_shape(given)}, but logps is {_shape(logps)}")
    if group_ids.shape != rewards.shape:
        raise TrainingDataInvalid(f"group_ids is {_shape(group_ids)}, but rewards is {_shape(rewards)}")
    rows, trajectories = logps.shape[0], rewards.shape[0]
    if trajectories == 0:
        raise TrainingDataInvalid("there is no trajectory in the batch", fix="give at least one group of two")
    if traj_ids is None:
        if rows != trajectories:
            raise TrainingDataInvalid(
                f"{rows} rows of tokens, but {trajectories} rewards",
                fix="give traj_ids where a trajectory has several rows",
            )
        return torch.arange(rows, device=logps.device)
    if traj_ids.shape != (rows,):
        raise TrainingDataInvalid(f"traj_ids is {_shape(traj_ids)}, but there are {rows} rows")
    present = torch.unique(traj_ids)
    if len(present) != trajectories or int(present[0]) != 0 or int(present[-1]) != trajectories - 1:
        raise TrainingDataInvalid(
            f"traj_ids must name each of the trajectories 0 to {trajectories - 1} at least once",
            fix="number the rows' trajectories by their place in rewards, and drop those without rows",
        )
    return traj_ids


def _check_kinds(
    logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, group_ids: Tensor, traj_ids: Tensor | None
) -> None:
    whole = {"group_ids": (group_ids, 1)} | ({} if traj_ids is None else {"traj_ids": (traj_ids, 1)})
    given = {"logps": (logps, 2), "ref_logps": (ref_logps, 2), "mask": (mask, 2), "rewards": (rewards, 1), **whole}
    for name, (value, dimensions) in given.items():
        if not isinstance(value, torch.Tensor):
            raise TrainingDataInvalid(f"{name} must be a tensor, not {type(value).__name__}")
        if value.ndim != dimensions:
            form = "(rows, tokens)" if dimensions == 2 else "one value each, (n,)"
            raise TrainingDataInvalid(f"{name} must be {form}, not {_shape(value)}")
    for name, (value, _) in whole.items():
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise TrainingDataInvalid(f"{name} must be whole numbers, not {value.dtype}")
    if not logps.is_floating_point() or not ref_logps.is_floating_point():
        raise TrainingDataInvalid("logps and ref_logps must be floating point")
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise TrainingDataInvalid("mask must be 0 or 1 everywhere")


def _check_groups(group_ids: Tensor) -> None:
    ids, sizes = torch.unique(group_ids, return_counts=True)
    if bool((sizes < 2).any()):
        alone = ids[sizes < 2].tolist()
        named = ", ".join(str(group) for group in alone[:5]) + (", …" if len(alone) > 5 else "")
        raise TrainingDataInvalid(
            f"a group needs at least two trajectories, but {len(alone)} of {len(ids)} have one: {named}",
            fix="sample k ≥ 2 responses for each prompt, or drop these groups",
        )


def _check_finite(log_ratio: Tensor, rewards: Tensor) -> None:
    if not bool(rewards.isfinite().all()):
        raise TrainingDataInvalid(
            "a reward is infinite", fix="give a finite reward, or NaN for a trajectory that cannot be scored"
        )
    if not bool(log_ratio.isfinite().all()):
        place = int((~log_ratio.isfinite()).nonzero()[0])
        raise TrainingDataInvalid(
            f"the log-probabilities of trajectory {place} are not finite",
            fix="the policy has diverged, or the reference cannot generate what was sampled: lower the learning rate",
        )


def _shape(value: Tensor) -> str:
    return "×".join(str(size) for size in value.shape) or "a single value"
