"""The OpenAPI document is valid, and is about exactly the routes that are served."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from jsonschema import Draft202012Validator
from openapi_pydantic import OpenAPI

from agentflow.admin.api.document import BASE, document
from agentflow.admin.api.routes import OPERATIONS

DOCUMENT = json.loads(json.dumps(document(OPERATIONS)))


def test_the_document_is_one_of_openapi_3_1() -> None:
    OpenAPI.model_validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert references <= schemas.keys()


def test_every_route_is_in_it_with_its_rule_its_parameters_and_what_it_takes() -> None:
    described = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == {(BASE + each.path, each.method.lower()) for each in OPERATIONS}
    names = [each.name for each in OPERATIONS]
    assert len(set(names)) == len(names)
    for each in OPERATIONS:
        told: dict[str, Any] = DOCUMENT["paths"][BASE + each.path][each.method.lower()]
        assert told["operationId"] == each.name and told["summary"].endswith(".")
        assert told["x-roles"] == sorted(each.rule.roles) and told["x-home-tenant"] is each.rule.home
        matched = any(parameter["name"] == "If-Match" for parameter in told.get("parameters", ()))
        assert matched is (each.name in ("activatePolicy", "rollBackPolicy"))
        in_path = {each["name"] for each in told.get("parameters", ()) if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", each.path))
        assert ("requestBody" in told) is (each.body is not None or bool(each.takes))


def test_a_gateway_starts_without_any_of_this() -> None:
    """The administration is imported by its first request (start-up time, memory)."""
    script = (
        "import sys, agentflow.gateway.serve, agentflow.gateway.http, agentflow.gateway.aside\n"
        "heavy = ('agentflow.admin', 'jinja2', 'starlette.templating', 'sqlalchemy', 'alembic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout
