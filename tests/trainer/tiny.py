"""A transformer of a few thousand weights, its tokenizer, a task and rollouts that need no sampling; in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agentflow.trainer.trl_adapter import GVPOConfig, GVPOTrainer

WORDS = [f"w{number}" for number in range(12)]
PROMPTS = 6


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: place for place, word in enumerate(["<pad>", "<eos>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", padding_side="left")


def policy(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2 + len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=32,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
            initializer_range=0.3,
        )
    )


def prompts() -> Dataset:
    return Dataset.from_list([{"prompt": f"w{one} w{(one + 3) % 12}", "wanted": f"w{one}"} for one in range(PROMPTS)])


def reward(completions: list[str], wanted: list[str], **rest: Any) -> list[float | None]:
    """The share of words that are the wanted one; a completion with w11 in it cannot be scored."""
    scores: list[float | None] = []
    for text, word in zip(completions, wanted, strict=True):
        words = text.split()
        scores.append(None if "w11" in words else sum(one == word for one in words) / max(len(words), 1))
    return scores


def config(folder: Path, **changed: Any) -> GVPOConfig:
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_completion_length": 5,
        "learning_rate": 0.01,
        "lr_scheduler_type": "constant",
        "max_steps": 3,
        "mask_truncated_completions": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "activation_checkpointing": False,
        "seed": 3,
        **changed,
    }
    return GVPOConfig(str(folder), **settings)


def trainer(folder: Path, *, model: Any = None, parts: dict[str, Any] | None = None, **changed: Any) -> GVPOTrainer:
    return GVPOTrainer(
        policy() if model is None else model,
        reward,
        config(folder, **changed),
        train_dataset=prompts(),
        processing_class=tokenizer(),
        **(parts or {}),
    )


def fixed_rollout(asked: list[str], trainer: GVPOTrainer) -> dict[str, Any]:
    """Completions that depend only on the prompt and the place in its group, whatever process makes them."""
    first = trainer.accelerator.process_index * len(asked)
    prompt_ids, completion_ids = [], []
    for place, prompt in enumerate(asked, start=first):
        turn = place % trainer.num_generations
        number = int(prompt.split()[0][1:])
        words = [2 + (number + turn * step) % 11 for step in range(2 + turn % 3)]
        if turn % 4 == 2:
            words[-1] = 2 + 11  # which cannot be scored
        prompt_ids.append(trainer.processing_class(prompt)["input_ids"])
        completion_ids.append([*words, 1])
    return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def checksum(model: Any) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
