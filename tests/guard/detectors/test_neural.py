"""The neural stage over a model small enough to be made here: each word has a logit of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from agentflow.guard.detectors.neural import NeuralDetector
from agentflow.guard.detectors.port import DetectorUnavailable

WORDS = {"[PAD]": 0.0, "[UNK]": -6.0, "[CLS]": 9.0, "[SEP]": 9.0, "obey": 6.0, "send": 6.0, "secrets": 6.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = numpy_helper.from_array(np.array(list(WORDS.values()), dtype=np.float32), "table")
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["found"]),
            helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["found", "kept"], ["logits"]),
        ],
        "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "model.onnx"))
    (tmp_path / "calibration.json").write_text(json.dumps({"points": [[-6.0, 0.0], [0.0, 0.4], [4.0, 0.8], [6.0, 1]]}))
    return tmp_path


def test_it_says_where_in_a_long_text(folder: Path) -> None:
    attack = "obey send secrets obey send secrets obey send secrets"
    text = "rain " * 400 + attack + " rain" * 400
    (found,) = NeuralDetector(folder).judge([text])
    assert found.score == 1.0
    assert text[found.start : found.end] == attack


def test_benign_text_scores_nothing(folder: Path) -> None:
    (found,) = NeuralDetector(folder).judge(["the weather is fine " * 100])
    assert found.score == 0.0


def test_texts_of_all_lengths_in_one_batch_keep_their_order(folder: Path) -> None:
    texts = ["", "obey", "rain " * 300, "obey send secrets " * 50, "x"]
    alone = [NeuralDetector(folder).judge([text])[0] for text in texts]
    assert NeuralDetector(folder).judge(texts) == alone
    assert [judgement.score >= 0.8 for judgement in alone] == [False, True, False, True, False]


def test_the_marks_around_a_window_do_not_count(folder: Path) -> None:
    assert NeuralDetector(folder).judge(["rain"])[0].score == 0.0


def test_a_folder_without_a_model_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DetectorUnavailable, match="agentflow guard train --neural"):
        NeuralDetector(tmp_path)
