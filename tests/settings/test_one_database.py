"""`store.url` puts everything into one database, unless a setting of its own says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentflow import cli
from agentflow.config import Config, StoreConfig
from agentflow.settings import file as config_file

ONE, OTHER = "postgresql://gateway@db.internal/one", "postgresql://gateway@db.internal/other"


def places(config: Config) -> list[str | None]:
    """Of store, vault (and taint), pins and audit index."""
    urls = (config.store.url, config.guard.vault.url, config.guard.pins.url, config.audit.index_url)
    return [None if url is None else url.get_secret_value() for url in urls]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, [None] * 4),
        ({"store": {"url": ONE}}, [ONE] * 4),
        ({"store": {"url": ONE}, "guard": {"vault": {"scope": "session"}, "pins": {"mode": "approve"}}}, [ONE] * 4),
        ({"store": {"url": ONE}, "guard": {"vault": {"url": OTHER}}}, [ONE, OTHER, ONE, ONE]),
        ({"store": {"url": ONE}, "guard": {"pins": {"url": OTHER}}}, [ONE, ONE, OTHER, ONE]),
        ({"store": {"url": ONE}, "audit": {"index_url": OTHER}}, [ONE, ONE, ONE, OTHER]),
        ({"store": {"url": ONE}, "guard": {"vault": {"url": None}, "pins": {"url": None}}}, [ONE, None, None, ONE]),
        ({"guard": {"vault": {"url": OTHER}}}, [None, OTHER, None, None]),
    ],
)
def test_a_setting_of_its_own_wins_and_null_means_a_file(said: dict[str, object], expected: list[str | None]) -> None:
    config = Config.model_validate(said)
    assert places(config) == expected
    assert config == Config.model_validate(said), "the same words are the same configuration"
    if isinstance(guard := said.get("guard"), dict) and "scope" in guard.get("vault", {}):
        assert config.guard.vault.scope == "session" and config.guard.pins.mode == "approve"


def test_file_and_environment_are_one_configuration(tmp_path: Path) -> None:
    path = tmp_path / "agentflow.yaml"
    path.write_text("store: {url: '${DB}'}\n")
    assert places(config_file.load(path, {**os.environ, "DB": ONE})) == [ONE] * 4
    environ = {**os.environ, "DB": ONE, "AGENTFLOW_GUARD__VAULT__URL": OTHER}
    assert places(config_file.load(path, environ)) == [ONE, OTHER, ONE, ONE]
    path.write_text("data_dir: x\n")
    assert places(config_file.load(path, {**os.environ, "AGENTFLOW_STORE__URL": ONE})) == [ONE] * 4


def test_what_is_in_force_is_shown_without_the_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agentflow.yaml"
    path.write_text("store: {url: '${DB}'}\nguard: {pins: {url: null}}\n")
    monkeypatch.setenv("DB", "postgresql://gateway:hunter2@db.internal/one")
    assert cli.main(["config", "show", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out and "db.internal" not in out
    import yaml

    shown = yaml.safe_load(out)
    assert shown["guard"]["vault"]["url"] == shown["audit"]["index_url"] == "**********"
    assert shown["guard"]["pins"]["url"] is None


@pytest.mark.parametrize("place", ["store: {url: %s}", "guard: {vault: {url: %s}}", "audit: {index_url: %s}"])
@pytest.mark.parametrize(
    ("url", "faulty"),
    [
        ("'postgresql://gateway:hunter2@db.internal/one'", True),
        ("'postgresql:///one?user=gateway&password=hunter2'", True),
        ("'postgresql://${WHO}:hunter2@db.internal/one'", True),
        ("'postgresql://gateway:${PW}@db.internal/one'", False),
        ("'postgresql://gateway@db.internal/one'", False),
        ("'${DB}'", False),
    ],
)
def test_a_password_in_the_file_is_a_problem_of_its_line(tmp_path: Path, place: str, url: str, faulty: bool) -> None:
    path = tmp_path / "agentflow.yaml"
    path.write_text(f"data_dir: x\n{place % url}\n")
    problems = config_file.check(path, {"WHO": "gateway", "PW": "hunter2", "DB": ONE})
    assert [(each.line, each.message) for each in problems] == [(2, "a password is written into the file")] * faulty
    assert not any("hunter2" in str(each) for each in problems)


@pytest.mark.parametrize("place", ["store: {url: '%s'}", "guard: {pins: {url: '%s'}}", "audit: {index_url: '%s'}"])
@pytest.mark.parametrize(
    "url",
    [
        "", "mysql://gateway@db.internal/one", "postgresql://[db/one", "host=db.internal user=gateway",
        "postgresql://gateway:${PW}@db.internal/one", "postgresql:${PW}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("password", ["hun/ter2", "hun#ter2", "hun?ter2"])
def test_what_is_no_address_is_a_problem_that_does_not_quote_it(
    tmp_path: Path, place: str, url: str, password: str
) -> None:
    path = tmp_path / "agentflow.yaml"
    path.write_text(f"data_dir: x\n{place % url}\n")
    problems = config_file.check(path, {"PW": password})
    assert [each.line for each in problems] == [2] and "%2F" in problems[0].message
    assert not any(text in str(problems) for text in ("ter2", "gateway", "db.internal"))


@pytest.mark.parametrize(
    "url",
    [
        "postgres://db.internal", "postgresql:///one?host=/run/postgresql", "postgresql://a:5432,b:5433/one",
        "postgresql://gateway:hun%2Fter2@[::1]:5432/one?sslmode=verify-full",
    ],
)  # fmt: skip
def test_every_form_of_an_address_is_taken(url: str) -> None:
    assert StoreConfig(url=SecretStr(url)).url == SecretStr(url)
