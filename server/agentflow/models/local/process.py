"""The process of the small model: one JSON object per line in, one per line out; ends when its input does.

The first line configures it; then each line asks for a plan (`tools`: name → input schema) or a JSON value (`schema`)
and is answered with `{"id", "text"}` or `{"id", "error"}`. Whatever a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from agentflow.errors import AgentFlowError, InvalidArguments

JSON = dict[str, Any]


def main() -> None:
    """Serve standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # a stray print must not look like an answer
    serve(sys.stdin, answers)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Load the model as the first line says, then answer line by line."""
    try:
        from agentflow.models.local.engine import Engine

        settings = json.loads(requests.readline() or "{}")
        path, adapter = settings.get("path"), settings.get("adapter")
        engine = Engine(
            Path(path) if path else None, Path(adapter) if adapter else None, int(settings.get("threads", 2))
        )
    except ImportError:
        _tell(
            answers, {"error": 'the local model needs torch and transformers: pip install "agentflow-gateway[local]"'}
        )
        return
    except AgentFlowError as problem:
        _tell(answers, {"error": problem.message})
        return
    except Exception as problem:
        _tell(answers, {"error": f"the local model cannot be loaded ({type(problem).__name__})"})
        return
    _tell(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        try:
            _tell(answers, {"id": request["id"], "text": _written(engine, request)})
        except AgentFlowError as problem:
            _tell(answers, {"id": request["id"], "error": problem.message})
        except Exception as problem:
            _tell(answers, {"id": request["id"], "error": f"the local model failed ({type(problem).__name__})"})


def _written(engine: Any, request: JSON) -> str:
    from agentflow.models.local.grammar import Unwritable, plan_grammar, schema_grammar

    values, copied = request.get("values") or [], bool(request.get("copied"))
    if "tools" in request:
        walk = plan_grammar(request["tools"], values, copied=copied)
    else:
        try:
            walk = schema_grammar(request["schema"], values, copied=copied)
        except Unwritable as problem:
            raise InvalidArguments(f"no text of this schema can be promised: {problem}") from None
    text: str = engine.write(request["prompt"], walk, int(request.get("budget", 160)))
    return text


def _tell(answers: IO[str], message: JSON) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
