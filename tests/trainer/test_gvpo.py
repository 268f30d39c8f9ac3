"""The GVPO loss against its own definition: identities of the paper in float64, then what may be handed to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from agentflow.trainer.errors import TrainingDataInvalid  # noqa: E402
from agentflow.trainer.gvpo import (  # noqa: E402
    GVPOLoss,
    group_statistics,
    gvpo_loss,
    kept_trajectories,
    log_ratios,
)

EXACT = 1e-10
VOCABULARY = 7


class Batch:
    """A softmax policy over a small vocabulary, and responses of several groups, padded."""

    def __init__(self, groups: int = 3, k: int = 4, tokens: int = 5, seed: int = 0) -> None:
        chance = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Any:
            return torch.randn(*shape, generator=chance, dtype=torch.float64)

        rows = groups * k
        self.logits = normal(rows, tokens, VOCABULARY).requires_grad_()
        self.chosen = torch.randint(VOCABULARY, (rows, tokens, 1), generator=chance)
        self.ref_logps = normal(rows, tokens, VOCABULARY).log_softmax(-1).gather(-1, self.chosen).squeeze(-1)
        lengths = torch.randint(1, tokens + 1, (rows,), generator=chance)
        self.mask = (torch.arange(tokens) < lengths[:, None]).to(torch.int64)
        self.rewards = normal(rows)
        self.group_ids = torch.arange(groups).repeat_interleave(k)
        self.k, self.groups = k, groups

    @property
    def logps(self) -> Any:
        return self.logits.log_softmax(-1).gather(-1, self.chosen).squeeze(-1)

    def sequence_logps(self) -> Any:
        return (self.logps * self.mask).sum(1)

    def loss(self, beta: float = 0.3, **changed: Any) -> GVPOLoss:
        inputs = {
            "logps": self.logps,
            "ref_logps": self.ref_logps,
            "mask": self.mask,
            "rewards": self.rewards,
            "group_ids": self.group_ids,
            **changed,
        }
        return gvpo_loss(beta=beta, **inputs)

    def gradient(self, loss: Any) -> Any:
        return torch.autograd.grad(loss, self.logits)[0]

    def log_ratio(self) -> Any:
        return ((self.logps - self.ref_logps) * self.mask).sum(1)


def close(left: Any, right: Any, within: float = EXACT) -> bool:
    return bool((left - right).abs().max() <= within)


def by_group(batch: Batch, values: Any) -> Any:
    return values.view(batch.groups, batch.k)


# The paper's identities


def test_weights_sum_to_zero_in_every_group() -> None:
    batch = Batch()
    assert close(by_group(batch, batch.loss().weights).sum(1), torch.zeros(3, dtype=torch.float64))


def test_the_gradient_is_that_of_the_weighted_log_likelihood() -> None:
    batch, beta = Batch(), 0.3
    result = batch.loss(beta)
    likelihood = -beta / (batch.k - 1) * (result.weights * batch.sequence_logps()).sum() / batch.groups
    assert close(batch.gradient(result.loss), batch.gradient(likelihood))


def test_the_weights_are_the_centred_rewards_less_the_centred_implicit_rewards() -> None:
    batch, beta = Batch(), 0.3
    result = batch.loss(beta)
    ratios = by_group(batch, batch.log_ratio().detach())
    rewards = by_group(batch, batch.rewards)
    assert close(by_group(batch, result.implicit_rewards), beta * ratios)
    assert close(by_group(batch, result.centred_rewards), rewards - rewards.mean(1, keepdim=True))
    expected = (rewards - rewards.mean(1, keepdim=True)) - beta * (ratios - ratios.mean(1, keepdim=True))
    assert close(by_group(batch, result.weights), expected)


def test_the_loss_is_half_of_variance_plus_variance_less_twice_the_covariance() -> None:
    batch, beta = Batch(groups=1, k=6), 0.7
    implicit, rewards = beta * batch.log_ratio(), batch.rewards
    covariance = torch.cov(torch.stack([implicit, rewards]))[0, 1]
    expected = (implicit.var() + rewards.var() - 2 * covariance) / 2
    result = batch.loss(beta)
    assert close(result.loss, expected)
    assert close(batch.gradient(result.loss), batch.gradient(expected))


def test_the_loss_of_several_groups_is_the_mean_of_theirs() -> None:
    batch = Batch()
    alone = []
    for group in range(batch.groups):
        rows = batch.group_ids == group
        alone.append(
            gvpo_loss(
                batch.logps[rows],
                batch.ref_logps[rows],
                batch.mask[rows],
                batch.rewards[rows],
                batch.group_ids[rows],
                0.3,
            ).loss
        )
    assert close(batch.loss().loss, torch.stack(alone).mean())


def test_a_constant_added_to_the_rewards_changes_nothing() -> None:
    batch = Batch()
    plain, moved = batch.loss(), batch.loss(rewards=batch.rewards + 12.5)
    assert close(plain.loss, moved.loss) and close(plain.weights, moved.weights)
    assert close(batch.gradient(plain.loss), batch.gradient(moved.loss))


def test_a_shift_of_the_references_log_probability_per_prompt_changes_nothing() -> None:
    batch = Batch()
    shifted = batch.ref_logps.clone()
    shifted[:, 0] += torch.tensor([3.0, -7.0, 0.25], dtype=torch.float64).repeat_interleave(batch.k)
    plain, moved = batch.loss(), batch.loss(ref_logps=shifted)
    assert close(plain.loss, moved.loss) and close(plain.weights, moved.weights)
    assert close(batch.gradient(plain.loss), batch.gradient(moved.loss))


def test_one_step_from_the_sampling_policy_is_beta_times_that_of_leave_one_out() -> None:
    batch, beta = Batch(), 0.3
    rewards = by_group(batch, batch.rewards)
    others = (rewards.sum(1, keepdim=True) - rewards) / (batch.k - 1)
    leave_one_out = -((rewards - others).flatten() * batch.sequence_logps()).mean()
    result = batch.loss(beta, ref_logps=batch.logps.detach())
    assert close(batch.gradient(result.loss), beta * batch.gradient(leave_one_out))


@pytest.mark.parametrize("times", [[1] * 6, [1, 9, 2, 1, 4, 3]], ids=["uniform", "skewed"])
def test_the_optimum_is_the_tilted_reference_whatever_policy_sampled(times: list[int]) -> None:
    chance = torch.Generator().manual_seed(5)
    beta = 0.4
    reference = torch.randn(6, generator=chance, dtype=torch.float64).log_softmax(0)
    reward = torch.randn(6, generator=chance, dtype=torch.float64)
    optimum = (reference + reward / beta).softmax(0)
    sampled = torch.arange(6).repeat_interleave(torch.tensor(times))  # the population, each response as often as drawn
    logits = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-15, tolerance_change=1e-30, line_search_fn="strong_wolfe"
    )

    def population() -> Any:
        solver.zero_grad()
        loss = gvpo_loss(
            logits.log_softmax(0)[sampled, None],
            reference[sampled, None],
            torch.ones(len(sampled), 1),
            reward[sampled],
            torch.zeros(len(sampled), dtype=torch.int64),
            beta,
        ).loss
        loss.backward()
        return loss

    solver.step(population)
    assert close(logits.detach().softmax(0), optimum)


def test_equal_rewards_and_an_unmoved_policy_give_no_gradient() -> None:
    batch = Batch()
    result = batch.loss(rewards=torch.ones_like(batch.rewards), ref_logps=batch.logps.detach())
    assert float(result.loss.detach()) == 0
    assert not batch.gradient(result.loss).any()


def test_equal_rewards_pull_a_policy_that_moved_back_to_the_reference() -> None:
    batch, beta = Batch(groups=1, k=4), 0.3
    result = batch.loss(beta, rewards=torch.ones_like(batch.rewards))
    assert close(result.loss, (beta * batch.log_ratio()).var() / 2)


def test_weights_that_are_not_detached_would_give_another_gradient() -> None:
    batch, beta = Batch(), 0.3
    implicit = beta * by_group(batch, batch.log_ratio())
    rewards = by_group(batch, batch.rewards)
    weights = (rewards - rewards.mean(1, keepdim=True)) - (implicit - implicit.mean(1, keepdim=True))
    scale = -beta / (batch.k - 1) / batch.groups
    undetached = scale * (weights.flatten() * batch.sequence_logps()).sum()
    detached = scale * (weights.flatten().detach() * batch.sequence_logps()).sum()
    right = batch.gradient(batch.loss(beta).loss)
    assert close(right, batch.gradient(detached))
    assert not close(right, batch.gradient(undetached), within=1e-3)


def test_a_mean_that_is_not_detached_gives_the_same_gradient() -> None:
    batch, beta = Batch(), 0.3
    implicit = beta * by_group(batch, batch.log_ratio())
    rewards = by_group(batch, batch.rewards)
    weights = (rewards - rewards.mean(1, keepdim=True)) - (implicit - implicit.mean(1, keepdim=True))
    whole = weights.square().sum() / (2 * (batch.k - 1)) / batch.groups
    assert close(batch.gradient(batch.loss(beta).loss), batch.gradient(whole))


# Rows, segments, and what is left out


def test_a_trajectory_in_segments_is_one_unit() -> None:
    batch = Batch(groups=2, k=3, tokens=6)
    batch.mask = torch.ones_like(batch.mask)
    batch.mask[:, 2] = 0  # a tool's token between the turns
    halves = [batch.logps[:, :3], batch.logps[:, 3:]]
    order = torch.tensor([7, 2, 0, 9, 4, 11, 1, 3, 5, 6, 8, 10])  # turns of all trajectories, in any order
    turns = gvpo_loss(
        torch.cat(halves)[order],
        torch.cat([batch.ref_logps[:, :3], batch.ref_logps[:, 3:]])[order],
        torch.cat([batch.mask[:, :3], batch.mask[:, 3:]])[order],
        batch.rewards,
        batch.group_ids,
        0.3,
        traj_ids=torch.arange(6).repeat(2)[order],
    )
    whole = batch.loss()
    assert turns.weights.shape == (6,)
    assert close(turns.loss, whole.loss) and close(turns.weights, whole.weights)
    assert close(batch.gradient(turns.loss), batch.gradient(whole.loss))


@pytest.mark.parametrize("how", ["unscorable", "truncated"])
def test_a_trajectory_left_out_leaves_the_loss_of_the_others(how: str) -> None:
    batch = Batch(groups=2, k=4)
    rewards, mask = batch.rewards.clone(), batch.mask.clone()
    if how == "unscorable":
        rewards[1] = math.nan
    else:
        mask[1] = 0
    result = batch.loss(rewards=rewards, mask=mask)
    rest = torch.tensor([0, 2, 3, 4, 5, 6, 7])
    without = gvpo_loss(
        batch.logps[rest],
        batch.ref_logps[rest],
        batch.mask[rest],
        batch.rewards[rest],
        batch.group_ids[rest],
        0.3,
    )
    assert result.kept.tolist() == [True, False] + [True] * 6
    assert float(result.weights[1]) == float(result.centred_rewards[1]) == 0
    assert close(result.loss, without.loss) and close(result.weights[rest], without.weights)
    assert close(batch.gradient(result.loss), batch.gradient(without.loss))


def test_a_group_with_one_trajectory_left_says_nothing() -> None:
    batch = Batch(groups=2, k=3)
    rewards = batch.rewards.clone()
    rewards[:2] = math.nan
    result = batch.loss(rewards=rewards)
    assert not result.weights[:3].any()
    assert not batch.gradient(result.loss)[:3].any()
    assert close(result.loss, batch.loss().loss - batch.loss(groups=2, rewards=_only(batch, 0)).loss)


def _only(batch: Batch, group: int) -> Any:
    """The rewards with every trajectory of other groups unscorable."""
    return torch.where(batch.group_ids == group, batch.rewards, math.nan)


def test_nothing_scorable_gives_a_loss_of_zero_that_can_still_be_differentiated() -> None:
    batch = Batch()
    result = batch.loss(rewards=torch.full_like(batch.rewards, math.nan), clip=0.5)
    assert float(result.loss.detach()) == 0
    assert not batch.gradient(result.loss).any()


def test_what_stands_in_the_padding_does_not_matter() -> None:
    batch = Batch()
    logps = batch.logps.masked_fill(batch.mask == 0, math.nan)
    ref_logps = batch.ref_logps.masked_fill(batch.mask == 0, -math.inf)
    result = batch.loss(logps=logps, ref_logps=ref_logps)
    assert close(result.loss, batch.loss().loss)
    assert close(batch.gradient(result.loss), batch.gradient(batch.loss().loss))


def test_no_gradient_reaches_the_reference() -> None:
    batch = Batch()
    reference = batch.ref_logps.clone().requires_grad_()
    loss = batch.loss(ref_logps=reference).loss
    assert torch.autograd.grad(loss, reference, allow_unused=True)[0] is None


# Options


def test_rescaling_divides_by_beta() -> None:
    batch, beta = Batch(), 0.3
    assert close(batch.loss(beta, rescale=True).loss * beta, batch.loss(beta).loss)


def test_clipped_weights_stay_in_bounds_and_sum_to_zero() -> None:
    batch = Batch(k=6)
    result = batch.loss(clip=0.4)
    assert float(result.weights.abs().max()) <= 0.4
    assert close(by_group(batch, result.weights).sum(1), torch.zeros(3, dtype=torch.float64))
    assert not close(result.weights, batch.loss().weights, within=0.1)


def test_clipped_weights_are_the_nearest_of_those_in_bounds_that_sum_to_zero() -> None:
    batch, clip = Batch(groups=1, k=6), 0.4
    free, clipped = batch.loss().weights, batch.loss(clip=clip).weights
    chance = torch.Generator().manual_seed(1)
    for _ in range(200):
        other = torch.randn(6, generator=chance, dtype=torch.float64)
        other = other - other.mean()
        other = other * clip / other.abs().max()
        assert float((free - clipped) @ (other - clipped)) <= EXACT  # the projection's variational inequality


def test_a_bound_that_is_never_reached_changes_nothing() -> None:
    batch = Batch()
    plain, bounded = batch.loss(), batch.loss(clip=1e3)
    assert close(plain.loss, bounded.loss) and close(plain.weights, bounded.weights)


def test_the_clipped_loss_has_the_gradient_it_shows() -> None:
    batch = Batch(groups=2, k=4, tokens=2)
    kept = batch.logits
    gradient = batch.gradient(batch.loss(clip=0.4).loss)
    step = 1e-6
    for place in [(0, 0, 1), (3, 0, 2), (6, 0, 0)]:
        values = []
        for sign in (1, -1):
            moved = kept.detach().clone()
            moved[place] += sign * step
            batch.logits = moved
            values.append(float(batch.loss(clip=0.4).loss))
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient[place]), abs=1e-7)
    batch.logits = kept


def test_groups_in_parts_with_their_statistics_give_the_whole_loss() -> None:
    batch, clip = Batch(groups=2, k=4), 0.5
    whole = batch.loss(clip=clip)
    owners = torch.arange(8)
    statistics = group_statistics(
        log_ratios(batch.logps, batch.ref_logps, batch.mask, owners, 8),
        batch.rewards,
        batch.group_ids,
        kept_trajectories(batch.mask, batch.rewards, owners),
        0.3,
        clip=clip,
    )
    total = 0.0
    for rows in (slice(0, 3), slice(3, 5), slice(5, 8)):
        part = type(statistics)(
            statistics.log_ratio[rows], statistics.reward[rows], statistics.kept[rows], statistics.shift[rows]
        )
        total = total + (
            gvpo_loss(
                batch.logps[rows],
                batch.ref_logps[rows],
                batch.mask[rows],
                batch.rewards[rows],
                batch.group_ids[rows],
                0.3,
                clip=clip,
                statistics=part,
                groups=2,
            ).loss
        )
    assert close(total, whole.loss)
    assert close(batch.gradient(total), batch.gradient(whole.loss))


def test_bfloat16_is_summed_in_float32() -> None:
    tokens = 4096
    logps = torch.full((2, tokens), -1.0, dtype=torch.bfloat16)
    logps[1] = -1.0078125  # exact in bfloat16; a sum in bfloat16 stops growing long before 4,096 terms
    result = gvpo_loss(
        logps,
        torch.full((2, tokens), -1.0, dtype=torch.bfloat16),
        torch.ones(2, tokens),
        torch.tensor([0.0, 0.0]),
        torch.tensor([0, 0]),
        1.0,
    )
    assert result.loss.dtype == torch.float32
    assert result.implicit_rewards.tolist() == [0.0, -32.0]


def test_only_the_loss_carries_a_gradient() -> None:
    result = Batch().loss()
    assert result.loss.requires_grad and result.loss.shape == ()
    others = (result.weights, result.centred_rewards, result.implicit_rewards, result.kept)
    assert not any(value.requires_grad for value in others)


# Properties

REWARDS = st.floats(-100, 100, allow_subnormal=False)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    groups, k, tokens = draw(st.integers(1, 4)), draw(st.integers(2, 6)), draw(st.integers(1, 5))
    batch = Batch(groups, k, tokens, seed=draw(st.integers(0, 10_000)))
    rewards = draw(st.lists(REWARDS | st.just(math.nan), min_size=groups * k, max_size=groups * k))
    batch.rewards = torch.tensor(rewards, dtype=torch.float64)
    return batch


BETAS = st.floats(0.01, 10)
CLIPS = st.none() | st.floats(0.01, 50)


@given(batches(), BETAS, CLIPS)
def test_whatever_comes_weights_sum_to_zero_and_stay_in_bounds(batch: Batch, beta: float, clip: float | None) -> None:
    result = batch.loss(beta, clip=clip)
    size = 1 + float(result.weights.abs().max())
    assert close(by_group(batch, result.weights).sum(1) / size, torch.zeros(batch.groups), within=1e-9)
    assert clip is None or float(result.weights.abs().max()) <= clip
    assert not result.weights[batch.rewards.isnan()].any()
    assert float(result.loss.detach()) >= 0
    assert bool(batch.gradient(result.loss).isfinite().all())


@given(batches(), BETAS, st.floats(-1000, 1000), st.floats(-50, 50))
def test_whatever_comes_constants_of_a_prompt_change_nothing(
    batch: Batch, beta: float, constant: float, shift: float
) -> None:
    ref_logps = batch.ref_logps.clone()
    ref_logps[:, 0] += shift  # every response has a first token
    plain = batch.loss(beta).weights
    moved = batch.loss(beta, rewards=batch.rewards + constant, ref_logps=ref_logps).weights
    assert close(plain, moved, within=1e-8 * (1 + float(plain.abs().max())))


@given(batches(), BETAS, CLIPS, st.randoms(use_true_random=False))
def test_whatever_comes_the_order_of_trajectories_does_not_matter(
    batch: Batch, beta: float, clip: float | None, chance: Any
) -> None:
    order = list(range(batch.groups * batch.k))
    chance.shuffle(order)
    names = torch.tensor([17, -3, 5, 40])[batch.group_ids]
    plain = batch.loss(beta, clip=clip)
    mixed = batch.loss(
        beta,
        clip=clip,
        logps=batch.logps[order],
        ref_logps=batch.ref_logps[order],
        mask=batch.mask[order],
        rewards=batch.rewards[order],
        group_ids=names[order],
    )
    scale = 1 + float(plain.loss.detach())
    assert close(plain.loss, mixed.loss, within=1e-9 * scale)
    assert close(plain.weights[order], mixed.weights, within=1e-8 * (1 + float(plain.weights.abs().max())))


# What is refused


def _spoil(**changed: Any) -> Callable[[Batch], dict[str, Any]]:
    return lambda batch: {name: value(batch) if callable(value) else value for name, value in changed.items()}


BAD = {
    "a group of one": (_spoil(group_ids=torch.tensor([0, 0, 0, 1])), "at least two trajectories.* 1"),
    "one trajectory": (
        _spoil(
            logps=lambda b: b.logps[:1],
            ref_logps=lambda b: b.ref_logps[:1],
            mask=lambda b: b.mask[:1],
            rewards=lambda b: b.rewards[:1],
            group_ids=lambda b: b.group_ids[:1],
        ),
        "at least two",
    ),
    "no trajectory": (
        _spoil(
            logps=torch.zeros(0, 3),
            ref_logps=torch.zeros(0, 3),
            mask=torch.zeros(0, 3),
            rewards=torch.zeros(0),
            group_ids=torch.zeros(0, dtype=torch.int64),
        ),
        "no trajectory in the batch",
    ),
    "an infinite reward": (_spoil(rewards=torch.tensor([0.0, math.inf, 1.0, 0.0])), "a reward is infinite"),
    "a policy that diverged": (_spoil(logps=lambda b: b.logps * math.nan), "trajectory 0 are not finite"),
    "a reference without support": (_spoil(ref_logps=lambda b: b.ref_logps - math.inf), "are not finite"),
    "a reference of another shape": (_spoil(ref_logps=lambda b: b.ref_logps[:, :2]), "ref_logps is 4×2"),
    "a mask of another shape": (_spoil(mask=lambda b: b.mask[:3]), "mask is 3×5, but logps is 4×5"),
    "a mask of halves": (_spoil(mask=lambda b: b.mask * 0.5), "0 or 1"),
    "group_ids of another length": (_spoil(group_ids=torch.zeros(3, dtype=torch.int64)), "group_ids is 3"),
    "group_ids that are no whole numbers": (_spoil(group_ids=torch.zeros(4)), "whole numbers"),
    "rewards of another length": (
        _spoil(rewards=torch.zeros(2), group_ids=torch.zeros(2, dtype=torch.int64)),
        "4 rows of tokens, but 2 rewards",
    ),
    "rewards per token": (_spoil(rewards=lambda b: b.ref_logps), "rewards must be one value each"),
    "log-probabilities without tokens": (_spoil(logps=lambda b: b.sequence_logps()), r"logps must be \(rows"),
    "log-probabilities in whole numbers": (
        _spoil(logps=lambda b: b.mask),
        "floating point",
    ),
    "a list": (_spoil(rewards=[1.0, 2.0, 3.0, 4.0]), "rewards must be a tensor, not list"),
    "a trajectory without rows": (_spoil(traj_ids=torch.tensor([0, 1, 1, 3])), "each of the trajectories 0 to 3"),
    "a trajectory that is not there": (_spoil(traj_ids=torch.tensor([0, 1, 2, 4])), "0 to 3"),
    "a negative trajectory": (_spoil(traj_ids=torch.tensor([-1, 0, 1, 2])), "0 to 3"),
    "traj_ids of another length": (_spoil(traj_ids=torch.tensor([0, 1, 2])), "traj_ids is 3, but there are 4 rows"),
    "beta of zero": (_spoil(beta=0.0), "beta must be"),
    "a negative beta": (_spoil(beta=-0.1), "beta must be"),
    "beta that is no number": (_spoil(beta=math.nan), "beta must be"),
    "a bound of zero": (_spoil(clip=0.0), "clip must be"),
}


@pytest.mark.parametrize("case", list(BAD), ids=lambda case: case.replace(" ", "-"))
def test_what_does_not_fit_is_refused_in_one_line(case: str) -> None:
    spoil, says = BAD[case]
    batch = Batch(groups=1, k=4)
    with pytest.raises(TrainingDataInvalid, match=says) as refused:
        batch.loss(**spoil(batch))
    assert "\n" not in refused.value.message
    assert isinstance(refused.value, ValueError)
