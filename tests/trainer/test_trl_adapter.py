"""`GVPOTrainer` on a tiny transformer: its gradient, layouts, references, adapters, and going on from checkpoints."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

for needed in ("torch", "trl", "peft", "datasets"):
    pytest.importorskip(needed)

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from trainer import tiny  # noqa: E402

from agentflow.trainer.errors import TrainingConfigInvalid  # noqa: E402
from agentflow.trainer.groups import EpochSampler, permute_groups  # noqa: E402
from agentflow.trainer.gvpo import gvpo_loss  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of transformers, about names that trl 1.16 uses
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]

# One optimizer step on the same 8 rows, cut in other ways: rows a device, accumulation steps.
LAYOUTS = {"whole groups": (8, 1), "a group each": (4, 2), "half a group each": (2, 4), "a row each": (1, 8)}
SLOW_STEP: dict[str, Any] = {"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 1}
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(folder: Path, resume: str | None = None, **settings: Any) -> Any:
    made = tiny.trainer(folder, **settings)
    made.train(resume_from_checkpoint=resume)
    return made


def distance(left: dict[str, Any], right: dict[str, Any]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def rollout(masked: bool = False, truncated: bool = False) -> dict[str, Any]:
    """The fixed rollout; the second token of each completion a tool's, or the first row without its end."""

    def made(asked: list[str], trainer: Any) -> dict[str, Any]:
        output = tiny.fixed_rollout(asked, trainer)
        if masked:
            output["env_mask"] = [[1, 0] + [1] * (len(ids) - 2) for ids in output["completion_ids"]]
        if truncated:
            output["completion_ids"][0] = output["completion_ids"][0][:-1]
        return output

    return {"rollout_func": made}


# The gradient


def by_hand(trainer: Any, masked: bool) -> dict[str, Any]:
    """Weights after one plain gradient step of GVPO on the trainer's first batch, with nothing of trl in between."""
    model = tiny.policy()
    indices = list(trainer._get_train_sampler())[:8]
    asked = [tiny.prompts()[place] for place in indices]
    output = rollout(masked)["rollout_func"]([row["prompt"] for row in asked], trainer)
    texts = trainer.processing_class.batch_decode(output["completion_ids"], skip_special_tokens=True)
    scores = tiny.reward(texts, [row["wanted"] for row in asked])
    width = max(len(ids) for ids in output["completion_ids"])
    logps, mask = [], torch.zeros(8, width)
    for row, (prompt, ids) in enumerate(zip(output["prompt_ids"], output["completion_ids"], strict=True)):
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        logps.append(torch.nn.functional.pad(chosen, (0, width - len(ids))))
        mask[row, : len(ids)] = torch.tensor(output["env_mask"][row]) if masked else 1
    rewards = torch.tensor([float("nan") if score is None else score for score in scores])
    assert rewards.isnan().any()
    together = torch.stack(logps)
    loss = gvpo_loss(together, together.detach(), mask, rewards, torch.arange(8) // 4, trainer.args.beta).loss
    loss.backward()
    return {name: value.detach() - value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("masked", [False, True], ids=["one turn", "turns with a tool's tokens between"])
def test_one_step_is_that_of_the_loss_by_hand(tmp_path: Path, masked: bool) -> None:
    made = trained(tmp_path, per_device_train_batch_size=8, parts=rollout(masked), **SLOW_STEP)
    expected = by_hand(tiny.trainer(tmp_path, per_device_train_batch_size=8, parts=rollout()), masked)
    moved = {name: value for name, value in tiny.weights(made.model).items() if name in expected}
    assert distance(moved, expected) < 1e-5
    assert distance(moved, {name: tiny.weights(tiny.policy())[name] for name in moved}) > 1e-3


@pytest.mark.parametrize("reference", ["old", "initial"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_how_the_batch_is_cut_does_not_change_several_updates_on_it(
    tmp_path: Path, layout: str, reference: str
) -> None:
    settings = SLOW_STEP | {
        "learning_rate": 0.1,
        "max_steps": 6,
        "num_iterations": 3,
        "reference": reference,
        "weight_clip": 0.3,
        "parts": rollout(),
    }
    rows, steps = LAYOUTS[layout]
    cut = trained(tmp_path, per_device_train_batch_size=rows, gradient_accumulation_steps=steps, **settings)
    whole = trained(tmp_path, per_device_train_batch_size=8, **settings)
    assert distance(tiny.weights(cut.model), tiny.weights(whole.model)) < 1e-5
    assert distance(tiny.weights(cut.model), tiny.weights(tiny.policy())) > 1e-2


def test_a_generation_batch_in_several_steps_has_whole_groups_in_each(tmp_path: Path) -> None:
    made = tiny.trainer(tmp_path, per_device_train_batch_size=4, steps_per_generation=3, max_steps=3)
    seen = []
    inner = made._compute_loss

    def watched(model: Any, inputs: Any) -> Any:
        seen.append(inputs["group_ids"].tolist())
        return inner(model, inputs)

    made._compute_loss = watched
    made.train()
    assert sorted(seen) == [[0] * 4, [1] * 4, [2] * 4]


def test_truncated_and_unscorable_rows_are_left_out(tmp_path: Path) -> None:
    made = trained(
        tmp_path,
        per_device_train_batch_size=8,
        mask_truncated_completions=True,
        parts=rollout(truncated=True),
        **SLOW_STEP,
    )
    whole = trained(tmp_path, per_device_train_batch_size=8, parts=rollout(), **SLOW_STEP)
    kept = [run.state.log_history[0]["gvpo/kept"] for run in (made, whole)]
    assert kept[0] == kept[1] - 1 / 8 and kept[1] < 1


def test_a_row_that_cannot_be_scored_is_not_written_to_the_log(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        trained(tmp_path, per_device_train_batch_size=8, parts=rollout(), **SLOW_STEP)
    assert "w11" not in caplog.text


def test_it_learns(tmp_path: Path) -> None:
    made = trained(
        tmp_path,
        per_device_train_batch_size=24,
        num_generations=8,
        num_iterations=2,
        max_steps=120,
        learning_rate=0.01,
        beta=0.2,
    )
    rewards = [entry["reward"] for entry in made.state.log_history if entry.get("reward") is not None]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.4


def test_it_trains_in_bfloat16_with_activations_computed_again(tmp_path: Path) -> None:
    half = {"bf16": True, "activation_checkpointing": True, "num_iterations": 2}
    made = trained(
        tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, parts=rollout(), **(SLOW_STEP | half)
    )
    exact = trained(tmp_path, per_device_train_batch_size=8, parts=rollout(), **SLOW_STEP)
    moved = distance(tiny.weights(exact.model), tiny.weights(tiny.policy()))
    assert distance(tiny.weights(made.model), tiny.weights(exact.model)) < moved / 10


def test_it_evaluates_without_touching_the_policy(tmp_path: Path) -> None:
    parts = {"eval_dataset": tiny.prompts()}
    made = tiny.trainer(tmp_path, parts=parts, per_device_eval_batch_size=4, num_generations_eval=2)
    before = tiny.checksum(made.model)
    measured = made.evaluate()
    assert {"eval_reward", "eval_gvpo/kept", "eval_loss"} <= measured.keys()
    assert tiny.checksum(made.model) == before


# References


def reference_logps(made: Any) -> list[Any]:
    """What each step's loss was given as log π′ and log π, while training."""
    seen: list[Any] = []
    inner = made._compute_loss

    def watched(model: Any, inputs: Any) -> Any:
        with torch.no_grad():
            logps, _, _ = made._score(model, inputs)
        ref = made._reference_logps(inputs)
        drift = 0.0 if ref is None else float(((logps - ref) * inputs["completion_mask"]).abs().max())
        seen.append(drift)
        return inner(model, inputs)

    made._compute_loss = watched
    made.train()
    return seen


def test_the_old_policy_is_the_reference_of_each_batch(tmp_path: Path) -> None:
    drift = reference_logps(tiny.trainer(tmp_path, num_iterations=2, max_steps=4, per_device_train_batch_size=24))
    assert drift[0] == drift[2] == 0 and drift[1] > 0.01 and drift[3] > 0.01


def test_the_initial_policy_stays_the_reference_also_where_it_was_never_saved(tmp_path: Path) -> None:
    policy = tiny.policy(seed=4)
    made = tiny.trainer(
        tmp_path, model=policy, reference="initial", max_steps=4, per_device_train_batch_size=24, disable_dropout=True
    )
    before = tiny.weights(policy)
    drift = reference_logps(made)
    assert drift[0] < 1e-5 and drift[1] > 0.01 and drift[3] > 0.01
    assert distance(tiny.weights(made._plain_reference()), before) == 0


def test_a_synchronised_reference_follows(tmp_path: Path) -> None:
    made = tiny.trainer(
        tmp_path,
        reference="sync",
        ref_model_sync_steps=2,
        ref_model_mixup_alpha=1.0,
        max_steps=4,
        per_device_train_batch_size=24,
    )
    drift = reference_logps(made)
    assert drift[0] < 1e-5 and drift[1] > 0.01 and drift[2] < 1e-5 and drift[3] > 0.01
    assert distance(tiny.weights(made._plain_reference()), tiny.weights(made.model)) == 0


@pytest.mark.parametrize("how", ["a new adapter", "an adapter of before"])
@pytest.mark.parametrize("reference", ["old", "initial", "sync"])
def test_lora_trains_the_adapter_alone_against_every_reference(tmp_path: Path, how: str, reference: str) -> None:
    base = tiny.policy()
    before = tiny.weights(base)
    torch.manual_seed(1)
    lora = LoraConfig(**LORA)
    given = {"parts": {"peft_config": lora}} if how == "a new adapter" else {"model": get_peft_model(base, lora)}
    made = tiny.trainer(
        tmp_path,
        **({"model": base} | given),
        reference=reference,
        ref_model_sync_steps=2,
        ref_model_mixup_alpha=1.0,
        max_steps=4,
        learning_rate=0.05,
        per_device_train_batch_size=24,
    )
    started = {name: value for name, value in tiny.weights(made.model).items() if ".default." in name}
    drift = reference_logps(made)
    now = tiny.weights(made.model)
    assert all(distance({name: started[name]}, {name: now[name]}) > 0 for name in started)
    for name, value in before.items():
        inside = [one for one in now if one.endswith(name) or one.replace(".base_layer", "").endswith(name)]
        assert inside and all(torch.equal(now[one], value) for one in inside)
    if reference == "sync":
        assert drift[0] < 1e-5 and drift[1] > 1e-3 and drift[2] < 1e-5 and drift[3] > 1e-3
    elif reference == "initial":
        fresh = how == "a new adapter"  # its reference is the base model, from which this adapter starts apart
        assert (drift[0] > 1e-3) is fresh and drift[3] > 1e-3
    else:
        assert drift == [0.0] * 4
    assert all(not value.requires_grad for name, value in made.model.named_parameters() if ".ref." in name)


# Going on


RUNS: dict[str, dict[str, Any]] = {
    "between two batches": {"save_steps": 2, "num_iterations": 2},
    "in the middle of a batch": {"save_steps": 3, "num_iterations": 4},
    "in the second epoch": {"save_steps": 5, "per_device_train_batch_size": 8},
    "a following reference": {
        "save_steps": 3,
        "reference": "sync",
        "ref_model_sync_steps": 2,
        "ref_model_mixup_alpha": 0.5,
    },
    "groups in parts": {
        "save_steps": 3,
        "num_iterations": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
    },
}


def going_on(folder: Path, settings: dict[str, Any], make_model: Any) -> tuple[str, str]:
    common = {"max_steps": 8, "save_strategy": "steps", **settings}
    straight = trained(folder / "run", model=make_model(0), **common)
    checkpoint = folder / "run" / f"checkpoint-{settings['save_steps']}"
    resumed = trained(folder / "again", resume=str(checkpoint), model=make_model(7), **common)
    assert resumed.state.global_step == straight.state.global_step == 8
    return tiny.checksum(straight.model), tiny.checksum(resumed.model)


@pytest.mark.parametrize("case", list(RUNS))
def test_a_run_goes_on_bit_by_bit(tmp_path: Path, case: str) -> None:
    straight, resumed = going_on(tmp_path, RUNS[case], tiny.policy)
    assert straight == resumed


@pytest.mark.parametrize("reference", ["initial", "sync"])
def test_a_run_with_an_adapter_goes_on_bit_by_bit(tmp_path: Path, reference: str) -> None:
    def adapted(seed: int) -> Any:
        torch.manual_seed(seed)
        return get_peft_model(tiny.policy(), LoraConfig(**LORA))

    settings = {"save_steps": 3, "reference": reference, "ref_model_sync_steps": 2, "num_iterations": 2}
    straight, resumed = going_on(tmp_path, settings, adapted)
    assert straight == resumed


def test_a_checkpoint_without_the_trainers_own_state_starts_a_new_batch(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "num_iterations": 4}
    trained(tmp_path, **settings)
    checkpoint = tmp_path / "checkpoint-2"
    (checkpoint / "gvpo_state_0.pt").unlink()
    assert trained(tmp_path / "again", resume=str(checkpoint), **settings).state.global_step == 4


def test_a_following_reference_that_was_not_saved_is_said(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "reference": "sync"}
    trained(tmp_path, **settings)
    checkpoint = tmp_path / "checkpoint-1"
    (checkpoint / "gvpo_reference.safetensors").unlink()
    with pytest.raises(TrainingConfigInvalid, match="no reference to go on with"):
        trained(tmp_path / "again", resume=str(checkpoint), **settings)


# Two processes


def test_two_processes_hold_one_policy_and_step_as_one_does(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    inherited = os.environ.get("PYTHONPATH", "")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tests.parent / "server"), str(tests), inherited]),
        "OMP_NUM_THREADS": "1",
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ran = subprocess.run(
        [*launch, str(Path(__file__).with_name("two_ranks.py")), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    from trainer.two_ranks import CASES, SETTINGS

    for case, (one, _) in CASES.items():
        checksums = [json.loads((tmp_path / f"{rank}.json").read_text())[case] for rank in (0, 1)]
        assert checksums[0] == checksums[1], case
        both = torch.load(tmp_path / f"{case}.pt", weights_only=True)
        alone = trained(tmp_path / "alone", **SETTINGS, **one, parts=rollout())
        assert distance(both, tiny.weights(alone.model)) < 1e-5, case


# Groups and settings


def test_groups_are_permuted_in_one_piece() -> None:
    torch.manual_seed(0)
    rows = torch.arange(24)
    mixed = permute_groups(
        {"ids": rows, "names": [str(row) for row in range(24)], "all": torch.tensor(3), "no": None}, 4
    )
    groups = mixed["ids"].view(6, 4)
    assert sorted(groups[:, 0].tolist()) == [0, 4, 8, 12, 16, 20] != groups[:, 0].tolist()
    assert torch.equal(groups - groups[:, :1], torch.arange(4).repeat(6, 1))
    assert mixed["names"] == [str(row) for row in mixed["ids"].tolist()]
    assert int(mixed["all"]) == 3 and mixed["no"] is None


def test_the_order_of_an_epoch_does_not_depend_on_those_before() -> None:
    through, straight = (EpochSampler(range(20), 2, 5, shuffle=True, seed=1) for _ in range(2))
    first = list(through)
    through.set_epoch(1)
    straight.set_epoch(1)
    assert list(through) == list(straight) != first


REFUSED = {
    "beta of zero": ({"beta": 0.0}, "beta must be"),
    "an unknown reference": ({"reference": "best"}, "one of old, initial, sync"),
    "a bound of zero": ({"weight_clip": 0.0}, "weight_clip must be"),
    "divided rewards": ({"scale_rewards": "group"}, "does not divide rewards"),
    "a mask by entropy": ({"top_entropy_quantile": 0.2}, "has no top_entropy_quantile"),
    "another loss": ({"loss_type": "dr_grpo"}, "has no loss_type"),
    "GRPO's synchronised model": ({"sync_ref_model": True}, "sync_ref_model is GRPO's"),
    "importance sampling": ({"vllm_importance_sampling_correction": True}, "no importance sampling"),
    "groups over several steps": (
        {"per_device_train_batch_size": 2, "steps_per_generation": 4},
        "split over optimizer steps",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_settings_that_would_mislead_are_refused(tmp_path: Path, case: str) -> None:
    settings, says = REFUSED[case]
    with pytest.raises(TrainingConfigInvalid, match=says):
        tiny.config(tmp_path, **settings)


@pytest.mark.parametrize("mode", ["server", "colocate"])
def test_a_vllm_configuration_is_accepted(tmp_path: Path, mode: str) -> None:
    made = tiny.config(tmp_path, use_vllm=True, vllm_mode=mode)
    assert made.vllm_mode == mode and not made.vllm_importance_sampling_correction


def test_an_fsdp_configuration_is_accepted(tmp_path: Path) -> None:
    assert tiny.config(tmp_path, fsdp=True, fsdp_config={"fsdp_version": 2}).fsdp


def test_arguments_of_another_method_are_refused(tmp_path: Path) -> None:
    from trl import GRPOConfig

    from agentflow.trainer.trl_adapter import GVPOTrainer

    other = GRPOConfig(str(tmp_path), use_cpu=True, bf16=False)
    with pytest.raises(TrainingConfigInvalid, match="needs a GVPOConfig, not GRPOConfig"):
        GVPOTrainer(tiny.policy(), tiny.reward, other, train_dataset=tiny.prompts())
