"""The policy editor: a draft of a bundle, which is nowhere but in the form until it is kept.

Every file of the draft is in every form that is sent, so that changing from one file to another needs no script and
two administrators cannot get into each other's drafts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.responses import Response

from agentflow.admin.actions import policies
from agentflow.admin.governed import Report
from agentflow.admin.page.render import difference
from agentflow.admin.page.visits import Visit, go, quoted, status_of
from agentflow.admin.threads import in_thread
from agentflow.errors import AgentFlowError, InvalidArguments

_FILE = "file:"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*(?:/[A-Za-z0-9_][A-Za-z0-9_\-]*){0,8}\.rego|data\.json")
_LONGEST = 4_000_000  # characters of one file
_PLACE = re.compile(r"([\w./\-]+\.(?:rego|json)):(\d+)")


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle being edited.

    Attributes:
        base: the revision that it began as.
        opened: the name of the file that is shown.
    """

    base: str
    files: dict[str, str]
    opened: str


async def edit(visit: Visit) -> Response:
    """Begin to edit a bundle, by default the one in force."""
    base = visit.asked("from", 128) or policies.CURRENT
    found = await policies.files(visit.service, visit.caller, base)
    wanted = visit.asked("file", 300)
    opened = wanted if wanted in found.files else _first(found.files)
    return await _shown(visit, Draft(found.revision, found.files, opened))


async def work(visit: Visit) -> Response:
    """Go on with a draft: show another file, add or leave out one, try it, or keep it."""
    draft = _draft(visit)
    deed, _, name = visit.form.text("do", 400).partition(":")
    try:
        if deed == "open" and name in draft.files:
            return await _shown(visit, Draft(draft.base, draft.files, name))
        if deed == "add":
            return await _shown(visit, _with(draft, visit.form.text("new", 300).strip()))
        if deed == "remove" and len(draft.files) > 1:
            left = {each: text for each, text in draft.files.items() if each != draft.opened}
            return await _shown(visit, Draft(draft.base, left, _first(left)))
        if deed == "check":
            return await _shown(visit, draft, await policies.test(visit.service, visit.caller, draft.files))
        if deed == "keep":
            note = visit.form.text("note", 500).strip()
            kept = await policies.upload(visit.service, visit.caller, draft.files, note)
            return go(f"/ui/policies/{quoted(kept.revision)}?done=kept")
        raise InvalidArguments("This cannot be done with a draft", fix="Use the buttons on the page")
    except AgentFlowError as error:
        return await _shown(visit, draft, problem=error)


async def _shown(
    visit: Visit, draft: Draft, report: Report | None = None, problem: AgentFlowError | None = None
) -> Response:
    current = await policies.files(visit.service, visit.caller, policies.CURRENT)
    names = sorted({*current.files, *draft.files})
    changed = [name for name in names if current.files.get(name, "") != draft.files.get(name, "")]
    problems = [*(report.problems if report else ()), *(problem.data.get("problems", ()) if problem else ())]
    failed = [each.place for each in report.tests if each.error] if report else []
    now = current.files
    pairs = [(name, now.get(name, ""), draft.files.get(name, "")) for name in changed]
    lines = await in_thread(lambda: {name: difference(before, after) for name, before, after in pairs})
    return visit.show(
        "editor.html",
        status_of(problem) if problem else 200,
        draft=draft,
        current=now,
        lines=lines,
        changed=changed,
        report=report,
        wrong=_lines([*map(str, problems), *failed], draft.opened),
        problem=problem,
        may_keep=visit.may(policies.upload),
        note=visit.form.texts.get("note", ""),
    )


def _draft(visit: Visit) -> Draft:
    texts = visit.form.texts
    files = {name.removeprefix(_FILE): text for name, text in texts.items() if name.startswith(_FILE)}
    if not files or any(len(text) > _LONGEST for text in files.values()):
        raise InvalidArguments("This is no draft of a bundle", fix="Begin again from the list of policies")
    opened = texts.get("opened", "")
    return Draft(texts.get("base", "")[:128], files, opened if opened in files else _first(files))


def _with(draft: Draft, name: str) -> Draft:
    """The draft with another, empty file.

    Raises:
        InvalidArguments: it cannot have that name, or is there already.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArguments("A file is named like agentflow/rules.rego, or data.json")
    if name in draft.files:
        raise InvalidArguments("There is a file of that name already", fix="Open it, or choose another name")
    package = name.removesuffix(".rego").removesuffix("_test").replace("/", ".").replace("-", "_")
    text = "{}\n" if name == "data.json" else f"package {package}\n\nimport rego.v1\n"
    return Draft(draft.base, {**draft.files, name: text}, name)


def _first(files: dict[str, str]) -> str:
    """The file that an administrator most likely wants: the data, else the first."""
    return "data.json" if "data.json" in files else min(files)


def _lines(problems: list[str], opened: str) -> list[int]:
    """The lines of a file that problems name."""
    found = (place for problem in problems for place in _PLACE.findall(problem))
    return sorted({int(line) for name, line in found if name == opened or name.endswith(f"/{opened}")})
