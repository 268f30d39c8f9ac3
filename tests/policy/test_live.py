"""Uploaded bundles: kept only where they compile and their tests pass, chosen, rolled back; on both databases."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from agentflow.audit.events import Event
from agentflow.config import PolicyConfig, StoreConfig
from agentflow.errors import AuditUnavailable, ChoiceAltered, ConfigError, Conflict
from agentflow.policy import engine as engines
from agentflow.policy import live, live_seal, process
from agentflow.policy.archive import contents_of, pack
from agentflow.policy.bundle import bundle_of, read_bundle
from agentflow.policy.engine import Engine
from agentflow.policy.live import LiveBundles, files_of
from agentflow.store.opened import Store
from agentflow.store.tables import POLICY_BUNDLES, POLICY_CHOICES

RULE = 'package agentflow\n\nimport rego.v1\n\ndecision := {{"allow": {allow}}}\n'
TEST = "package agentflow_test\n\nimport rego.v1\n\ntest_it if data.agentflow.decision.allow == {allow}\n"
YES = {"agentflow/p.rego": RULE.format(allow="true"), "data.json": '{"a": {"b": 1}}'}
NO = {"agentflow/p.rego": RULE.format(allow="false"), "agentflow/p_test.rego": TEST.format(allow="false")}


def key() -> bytes:
    """What the vault of this installation gives."""
    return b"k" * 32


@dataclass
class Desk:
    """Bundles as one process has them, and what it recorded."""

    store: Store
    bundles: LiveBundles
    events: list[Event] = field(default_factory=list)
    full: bool = False

    def record(self, event: Event) -> None:
        if self.full:
            raise AuditUnavailable("no space left")
        self.events.append(event)

    def told(self) -> list[tuple[str, str, str]]:
        return [(event.event, event.by, event.subject) for event in self.events]


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    store = Store(tmp_path / "data", StoreConfig(url=SecretStr(url) if url else None))
    desk = Desk(store, LiveBundles(store, key))
    desk.bundles = LiveBundles(store, key, desk.record)
    yield desk
    store.close()


def refused(desk: Desk, body: bytes | dict[str, str]) -> list[str]:
    """Why an upload is refused; nothing is kept then, and the refusal is recorded."""
    before, recorded = desk.bundles.list(), len(desk.events)
    with pytest.raises(ConfigError) as failed:
        desk.bundles.upload(body, "default/ann")
    assert desk.bundles.list() == before
    assert [event.event for event in desk.events[recorded:]] == ["refused"]
    return list(failed.value.data["problems"])


def test_a_bundle_is_kept_as_it_was_tested_and_named_by_its_content(desk: Desk) -> None:
    done = desk.bundles.upload(YES, "default/ann", "first")
    assert done.new
    (kept,) = desk.bundles.list()
    assert (kept.revision, kept.uploaded_by, kept.note, kept.chosen, kept.in_force) == (
        done.revision, "default/ann", "first", 0.0, False,
    )  # fmt: skip
    assert desk.bundles.bundle(done.revision).revision == done.revision
    files = desk.bundles.files(done.revision[:12])
    assert files["agentflow/p.rego"] == YES["agentflow/p.rego"]
    again = desk.bundles.upload(files, "default/bob", "the same")
    assert (again.revision, again.new) == (done.revision, False)
    assert desk.told() == [("uploaded", "default/ann", done.revision), ("uploaded", "default/bob", done.revision)]


def test_a_folder_an_archive_and_its_files_have_one_revision(desk: Desk) -> None:
    shipped = read_bundle(PolicyConfig())
    by_files = desk.bundles.upload(files_of(shipped), "x")
    by_archive = desk.bundles.upload(pack(shipped.texts, shipped.data, "v7"), "x")
    assert by_files.revision == by_archive.revision == shipped.revision


def test_what_fails_its_own_test_is_refused_with_file_and_line(desk: Desk) -> None:
    (problem,) = refused(desk, {**NO, "agentflow/p_test.rego": TEST.format(allow="true")})
    assert problem.startswith("agentflow/p_test.rego:5: test agentflow_test/test_it failed")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"agentflow/p.rego": RULE.format(allow="true") + "x := {\n"}, "agentflow/p.rego:6: "),
        (
            {"agentflow/p.rego": 'package agentflow\n\ndecision := http.send({"url": "x"})\n'},
            "agentflow/p.rego: line 3",
        ),
        ({"other/p.rego": "package other\n\nx := 1\n"}, "defines `decision`"),
        ({**YES, "../p.rego": "package agentflow\n"}, "no name for a file"),
        ({**YES, "data.json": "[1]"}, "data.json: not a JSON object"),
        ({**YES, "/agentflow/p.rego": "package agentflow\n"}, "there twice"),
        ({}, "no .rego files"),
        (b"", "not a gzipped tar archive"),
        (gzip.compress(b"no tar", mtime=0), "archive"),
    ],
)
def test_what_is_no_usable_bundle_is_refused_with_the_reason(
    desk: Desk, body: bytes | dict[str, str], said: str
) -> None:
    problems = refused(desk, body)
    assert any(said in problem for problem in problems), problems


def test_a_check_keeps_nothing(desk: Desk) -> None:
    assert desk.bundles.check(NO).ok
    assert not desk.bundles.check({**NO, "agentflow/p_test.rego": TEST.format(allow="true")}).ok
    assert (list(desk.bundles.list()), desk.events) == ([], [])
    assert not desk.store.begun or desk.store.shared


def test_the_newest_choice_counts_and_rolling_back_goes_on_back(desk: Desk) -> None:
    one, two = (desk.bundles.upload(files, "x").revision for files in (YES, NO))
    assert desk.bundles.chosen() is None
    desk.bundles.activate(one[:8], "default/ann")
    assert desk.bundles.activate(two, "default/ann").before == one
    assert desk.bundles.chosen() == two
    assert desk.bundles.roll_back("default/bob").revision == one
    assert desk.bundles.roll_back("default/bob").revision == ""
    assert desk.bundles.chosen() is None
    with pytest.raises(ConfigError, match="nothing before"):
        desk.bundles.roll_back("default/bob")
    desk.bundles.activate(two, "default/ann")
    desk.bundles.roll_back("default/bob", to_file=True)
    assert desk.bundles.roll_back("default/bob").revision == two
    assert [(choice.revision, choice.before) for choice in desk.bundles.history()] == [
        (two, ""), ("", two), (two, ""), ("", one), (one, two), (two, one), (one, ""),
    ]  # fmt: skip
    assert desk.told()[-2:] == [("rolled_back", "default/bob", "file"), ("rolled_back", "default/bob", two)]
    assert [each.in_force for each in desk.bundles.list()] == [True, False]


def test_only_what_is_kept_can_be_chosen(desk: Desk) -> None:
    done = desk.bundles.upload(YES, "x")
    for name in ("", done.revision[:3], "0" * 64, "%", done.revision + "0"):
        with pytest.raises(ConfigError, match="no uploaded bundle"):
            desk.bundles.activate(name, "x")
    with pytest.raises(ConfigError, match="already"):
        desk.bundles.roll_back("x")


def test_what_cannot_be_recorded_is_not_done(desk: Desk) -> None:
    done = desk.bundles.upload(YES, "x")
    desk.full = True
    with pytest.raises(AuditUnavailable):
        desk.bundles.upload(NO, "x")
    with pytest.raises(AuditUnavailable):
        desk.bundles.activate(done.revision, "x")
    assert [each.revision for each in desk.bundles.list()] == [done.revision]
    assert desk.bundles.newest() is None


def test_a_bundle_altered_in_the_database_is_not_used(desk: Desk) -> None:
    done = desk.bundles.upload(NO, "x")
    body = pack({"agentflow/p.rego": RULE.format(allow="true")}, {}, done.revision)
    with desk.store.database().begin() as db:
        db.execute(POLICY_BUNDLES.update().values(body=body))
    with pytest.raises(ConfigError, match="altered"):
        desk.bundles.bundle(done.revision)


def test_a_bundle_that_somebody_put_into_the_database_cannot_be_chosen_until_it_is_uploaded(desk: Desk) -> None:
    mine = desk.bundles.upload(NO, "x")
    theirs = bundle_of(contents_of(YES))
    row = {"revision": theirs.revision, "body": pack(theirs.texts, theirs.data, theirs.revision)}
    with desk.store.database().begin() as db:
        seal = db.scalar(sa.select(POLICY_BUNDLES.c.seal).where(POLICY_BUNDLES.c.revision == mine.revision))
        db.execute(POLICY_BUNDLES.insert().values(**row, uploaded=1.0, uploaded_by="x", note="", seal=seal))
    with pytest.raises(ChoiceAltered, match="uploaded"):
        desk.bundles.activate(theirs.revision[:8], "x")
    assert desk.bundles.newest() is None
    assert not desk.bundles.upload(YES, "x").new
    assert desk.bundles.activate(theirs.revision[:8], "x").revision == theirs.revision


def change(desk: Desk, **values: object) -> None:
    """Write to the newest choice past the product."""
    with desk.store.database().begin() as db:
        newest = sa.select(sa.func.max(POLICY_CHOICES.c.number)).scalar_subquery()
        db.execute(POLICY_CHOICES.update().where(POLICY_CHOICES.c.number == newest).values(**values))


def counts_not(desk: Desk) -> None:
    """The newest choice counts for nobody, and nothing is chosen by way of it."""
    newest = desk.bundles.newest()
    assert newest is not None and not newest.ours
    assert not any(each.in_force for each in desk.bundles.list())
    assert not desk.bundles.history()[0].ours
    for ask in (desk.bundles.chosen, desk.bundles.in_force, lambda: desk.bundles.roll_back("x")):
        with pytest.raises(ChoiceAltered):
            ask()
    assert desk.bundles.newest() == newest


def test_a_choice_that_somebody_put_into_the_database_does_not_count_and_the_next_one_does(desk: Desk) -> None:
    one, two = (desk.bundles.upload(files, "x").revision for files in (YES, NO))
    mine = desk.bundles.activate(two, "x")
    with desk.store.database().begin() as db:
        seal = db.scalar(sa.select(POLICY_CHOICES.c.seal))
        row = {"revision": one, "time": mine.time, "chosen_by": "x", "seal": seal}
        db.execute(POLICY_CHOICES.insert().values(number=mine.number + 1000, **row))
    counts_not(desk)
    assert desk.bundles.activate(two, "x").ours
    assert desk.bundles.chosen() == two
    with desk.store.database().begin() as db:
        db.execute(POLICY_CHOICES.insert().values(number=mine.number + 5000, **{**row, "revision": ""}))
    counts_not(desk)
    assert desk.bundles.roll_back("x", to_file=True).revision == ""
    assert desk.bundles.chosen() is None


@pytest.mark.parametrize(
    "values", [{"revision": ""}, {"time": 1.5}, {"chosen_by": "root"}, {"back_to": 0}, {"number": 77}, {"seal": b""}]
)
def test_a_choice_altered_in_the_database_does_not_count(desk: Desk, values: dict[str, object]) -> None:
    desk.bundles.activate(desk.bundles.upload(NO, "x").revision, "x")
    change(desk, **values)
    counts_not(desk)


def test_a_choice_made_with_another_vault_does_not_count(desk: Desk) -> None:
    there = LiveBundles(desk.store, lambda: b"another".ljust(32))
    there.activate(there.upload(NO, "x").revision, "x")
    assert there.chosen() is not None
    counts_not(desk)


def test_nobody_goes_back_to_a_choice_that_was_altered(desk: Desk) -> None:
    for files in (YES, NO):
        desk.bundles.activate(desk.bundles.upload(files, "x").revision, "x")
        if files is YES:
            change(desk, revision="")
    with pytest.raises(ChoiceAltered):
        desk.bundles.roll_back("x")
    assert desk.bundles.roll_back("x", to_file=True).revision == ""


def test_seals_of_different_things_differ() -> None:
    said = [live_seal.choice(key(), 1, a, 2.0, b, back) for a, b, back in [
        ("a", "bc", None), ("ab", "c", None), ("a", "bc", 0), ("a", 'b","c', None), ("", "abc", None),
    ]]  # fmt: skip
    assert len({*said, live_seal.bundle(key(), "a", 2.0, "bc", "")}) == 6


def test_an_opa_is_not_chosen_for(desk: Desk) -> None:
    done = desk.bundles.upload(YES, "x")
    remote = LiveBundles(desk.store, key, policy=lambda: PolicyConfig(engine="opa"))
    with pytest.raises(ConfigError, match="opa"):
        remote.activate(done.revision, "x")
    assert desk.bundles.newest() is None


def test_an_uploaded_bundle_decides_by_its_own_data_alone(desk: Desk) -> None:
    files = {
        "agentflow/p.rego": 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if data.open == true\n',
        "data.json": '{"open": false}',
    }
    bundle = desk.bundles.bundle(desk.bundles.upload(files, "x").revision)
    engine = Engine(PolicyConfig(data={"open": True}), bundle=bundle, tested=True)
    try:
        assert not engine.decide({}).allow
        assert engine.decide({}).revision == bundle.revision
    finally:
        engine.close()


def test_every_test_of_a_bundle_runs_also_where_only_its_data_differs_from_what_ships(desk: Desk) -> None:
    files = files_of(read_bundle(PolicyConfig()))
    ships = sum(text.count("\ntest_") for name, text in files.items() if name.endswith("_test.rego"))
    rules = '"rules": {"none": {"tools": ["drop_*"], "effect": "deny"}}'
    assert files["data.json"].count('"rules": {}') == 1
    done = desk.bundles.upload({**files, "data.json": files["data.json"].replace('"rules": {}', rules)}, "x")
    assert len(done.tests) == ships > 100
    assert desk.events[-1].details["tests"] == ships
    # A change that a test of what ships speaks against is refused, whoever's that test is.
    weaker = files["agentflow/rules.rego"].replace("count(forbidden_by) > 0", "count(forbidden_by) > 9")
    problems = refused(desk, {**files, "agentflow/rules.rego": weaker})
    assert any("test_the_forbidden_list_binds_everybody failed" in problem for problem in problems)


def test_an_indented_test_runs_and_one_in_another_file_is_named(desk: Desk) -> None:
    indented = "package agentflow_test\n\nimport rego.v1\n\n  test_it if {\n\ttest_other := false\n\ttest_other\n  }\n"
    (problem,) = refused(desk, {**YES, "agentflow/p_test.rego": indented})
    assert problem.startswith("agentflow/p_test.rego:5: test agentflow_test/test_it failed")
    done = desk.bundles.upload({"agentflow/p.rego": YES["agentflow/p.rego"] + "\ntest_it if false\n"}, "x")
    never, none = done.warnings
    assert never == "agentflow/p.rego: test_it never runs: tests belong into files named …_test.rego"
    assert none.startswith("no test is in it")


LOOPS = "".join(f'test_{n} if regex.match("(a+)+$", "{"a" * 40}b")\n\n' for n in range(5))


def test_tests_that_do_not_end_are_stopped_and_all_of_them_together_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_TEST_TIMEOUT", 0.2)
    monkeypatch.setattr(engines, "_TESTS_TIMEOUT", 0.5)
    problems = refused(desk, {**YES, "p_test.rego": f"package t_test\n\nimport rego.v1\n\n{LOOPS}"})
    assert len(problems) == 5
    assert "within 0.2 s" in problems[0]
    assert "did not run" in problems[-1]


def test_a_test_that_eats_memory_ends_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MEMORY", 200 * 2**20)
    eater = "package t_test\n\nimport rego.v1\n\ntest_it if count(numbers.range(1, 90000000)) > 0\n"
    (problem,) = refused(desk, {**YES, "p_test.rego": eater})
    assert "crashed" in problem


def test_one_bundle_is_tested_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_TURN", 0.01)
    with desk.bundles._testing, pytest.raises(Conflict, match="being tested"):
        desk.bundles.upload(YES, "x")
    assert desk.bundles.upload(YES, "x").new


@pytest.mark.parametrize("levels", [101, 240, 1000, 100_000])
def test_data_nested_without_end_is_refused(desk: Desk, levels: int) -> None:
    deep = '{"a":' * levels + "1" + "}" * levels
    (problem,) = refused(desk, {**YES, "data.json": "{}", "a/data.json": deep})
    assert problem.startswith("a/data.json: ")


def test_what_is_in_force_is_what_was_chosen_and_else_what_the_file_says(desk: Desk) -> None:
    shipped = read_bundle(PolicyConfig()).revision
    assert desk.bundles.in_force().revision == shipped
    revision = desk.bundles.upload(NO, "x").revision
    desk.bundles.activate(revision, "x")
    assert desk.bundles.in_force().revision == revision
    remote = LiveBundles(desk.store, key, policy=lambda: PolicyConfig(engine="opa"))
    assert remote.in_force().revision == shipped
