"""The OpenAPI 3.1 document of the REST interface, made from the very operations that are served."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from agentflow import __version__
from agentflow.admin.api import problems
from agentflow.admin.api.operation import JSON_MEDIA, Operation
from agentflow.admin.models import Problem

JSON = dict[str, Any]
BASE: Final = "/api/v1"
_NAMES: Final = re.compile(r"{(\w+)}")
_REFERENCE: Final = "#/components/schemas/{model}"
_MATCHED: Final = (
    {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag of /policies/current; 412 where something else is in force by now.",
        "schema": {"type": "string"},
    },
)
_RAISES: Final = re.compile(r"\n\s*(Args|Raises):.*", re.DOTALL)


def document(operations: Sequence[Operation]) -> JSON:
    """The whole document."""
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [("problem", "serialization", TypeAdapter(Problem))]
    for each in operations:
        if each.result is not None:
            wanted.append((f"{each.name}.result", "serialization", TypeAdapter(each.result)))
        if each.body is not None:
            wanted.append((f"{each.name}.body", "validation", TypeAdapter(each.body)))
    schemas, definitions = TypeAdapter.json_schemas(wanted, ref_template=_REFERENCE)
    found = {name: schema for (name, _), schema in schemas.items()}
    paths: JSON = {}
    for each in operations:
        paths.setdefault(BASE + each.path, {})[each.method.lower()] = _described(each, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AgentFlow administration",
            "version": __version__,
            "description": "Every route names the roles of which a caller needs one (`x-roles`), and whether it is for "
            "the home tenant only (`x-home-tenant`).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"header": []}, {"session": [], "csrf": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in operations)],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key or an access token."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "agentflow_session",
                    "description": "Over https `__Host-agentflow_session`.",
                },
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }


def _described(each: Operation, schemas: JSON) -> JSON:
    summary, _, rest = _RAISES.sub("", inspect.getdoc(each.action) or each.name).strip().partition("\n")
    told: JSON = {
        "operationId": each.name,
        "summary": summary,
        "tags": [each.tag],
        "x-roles": sorted(each.rule.roles),
        "x-home-tenant": each.rule.home,
        "responses": _responses(each, schemas),
    }
    if rest.strip():
        told["description"] = " ".join(rest.split())
    if parameters := [*_of_path(each), *_of_query(each.query), *(_MATCHED if each.matched else ())]:
        told["parameters"] = parameters
    content = {media: {"schema": {"type": "string", "format": "binary"}} for media in each.takes}
    if each.body is not None:
        content = {JSON_MEDIA: {"schema": schemas[f"{each.name}.body"]}, **content}
    if content:
        told["requestBody"] = {"required": not each.bare, "content": content}
    return told


def _responses(each: Operation, schemas: JSON) -> JSON:
    good: JSON = {"description": "Done." if each.rule.event else "What was asked for."}
    if each.result is not None:
        good["content"] = {each.media: {"schema": schemas[f"{each.name}.result"]}}
    failed = {"description": "Refused.", "content": {problems.MEDIA: {"schema": schemas["problem"]}}}
    return {str(204 if each.result is None else each.status): good, "default": failed}


def _of_path(each: Operation) -> list[JSON]:
    text = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in _NAMES.findall(each.path)]


def _of_query(query: type[BaseModel] | None) -> list[JSON]:
    if query is None:
        return []
    found = []
    for name, schema in query.model_json_schema()["properties"].items():
        described = {"description": schema.pop("description")} if "description" in schema else {}
        found.append({"name": name, "in": "query", **described, "schema": schema})
    return found
