"""The vault keeps what it promised: equal tokens for equal values, on disk before use, readable with the key only."""

from __future__ import annotations

import base64
import hmac
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from agentflow.config import Config
from agentflow.config_guard import GuardConfig
from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard import tokens
from agentflow.guard.pii import validators
from agentflow.guard.vault import Entry, Vault, open_vault
from agentflow.guard.vault import vault as vault_module
from agentflow.guard.vault.master import LocalMaster, key_file, key_ring

KEY = bytes(range(32))
MAIL = ("EMAIL", "alice@example.com")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault.db"


@pytest.fixture
def vault(path: Path) -> Iterator[Vault]:
    opened = Vault(path, KEY)
    yield opened
    opened.close()


def config(tmp_path: Path, key: bytes | None = None) -> Config:
    secret = None if key is None else SecretStr(base64.b64encode(key).decode())
    return Config(data_dir=tmp_path, guard=GuardConfig(master_key=secret))


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(vault_module.__file__).parents[3])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_comes_back_as_its_value(vault: Vault) -> None:
    (name,) = vault.tokens("t", [MAIL])
    assert name.startswith("EMAIL_")
    assert len(name) == len("EMAIL_") + 8
    assert vault.values("t", [name]) == {name: Entry(*MAIL)}


def test_equal_values_get_equal_tokens_and_types_keep_them_apart(vault: Vault) -> None:
    first, second, other = vault.tokens("t", [MAIL, MAIL, ("API_KEY", MAIL[1])])
    assert first == second
    assert other != first


def test_tokens_outlive_the_process(vault: Vault, path: Path) -> None:
    (name,) = vault.tokens("t", [MAIL])
    vault.close()
    again = Vault(path, KEY)
    assert again.values("t", [name]) == {name: Entry(*MAIL)}
    assert again.tokens("t", [MAIL]) == [name]
    again.close()


def test_a_tenant_cannot_read_anothers_tokens_nor_guess_them(vault: Vault) -> None:
    (mine,) = vault.tokens("a", [MAIL])
    (theirs,) = vault.tokens("b", [MAIL])
    assert mine != theirs
    assert vault.values("b", [mine]) == {}


def test_a_token_depends_on_the_master_key(vault: Vault, tmp_path: Path) -> None:
    other = Vault(tmp_path / "other.db", bytes(32))
    assert other.tokens("t", [MAIL]) != vault.tokens("t", [MAIL])
    other.close()


def test_an_entry_moved_to_another_tenant_does_not_open(vault: Vault, path: Path) -> None:
    (name,) = vault.tokens("a", [MAIL])
    vault.tokens("b", [("EMAIL", "bob@example.com")])
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO tokens SELECT 'b', scope, token, key, sealed, expires FROM tokens WHERE tenant = 'a'")
    db.close()
    with pytest.raises(VaultUnavailable, match="does not open"):
        vault.values("b", [name])


def test_the_files_hold_no_clear_value(vault: Vault, path: Path) -> None:
    values = [("EMAIL", f"canary{n}@example.com") for n in range(50)] + [("CARD", 4111111111111111)]
    vault.tokens("t", values)
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"CREATE TABLE tokens" in held
    assert b"canary" not in held
    assert b"411111111111" not in held


def test_numbers_get_numbers_that_are_no_cards_and_exact_in_javascript(vault: Vault) -> None:
    (name,) = vault.tokens("t", [("CARD", 4111111111111111)])
    assert tokens.NUMBER_FIRST <= int(name) <= tokens.NUMBER_LAST < 2**53
    assert not validators.card(name)
    assert vault.values("t", [name]) == {name: Entry("CARD", 4111111111111111)}


def test_a_colliding_value_gets_a_longer_name_and_keeps_it(
    vault: Vault, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hmac.digest

    def colliding(key: bytes, message: bytes, algorithm: object) -> bytes:
        return b"\xa1" * 4 + real(key, message, "sha256")[4:]

    monkeypatch.setattr("agentflow.guard.vault.names.digest", colliding)
    names = [vault.tokens("t", [("EMAIL", f"{n}@example.com")])[0] for n in range(3)]
    assert [len(name) for name in names] == [14, 18, 18]
    assert len(set(names)) == 3
    again = Vault(path, KEY)
    assert [again.tokens("t", [("EMAIL", f"{n}@example.com")])[0] for n in (2, 1, 0)] == names[::-1]
    assert again.values("t", names)[names[1]].value == "1@example.com"
    again.close()


def test_memory_is_bounded_and_what_was_forgotten_is_read_again(path: Path) -> None:
    small = Vault(path, KEY, memory=4)
    values = [("EMAIL", f"{n}@example.com") for n in range(50)]
    names = small.tokens("t", values)
    assert small.values("t", names) == {name: Entry(*value) for name, value in zip(names, values, strict=True)}
    assert small.tokens("t", values) == names
    small.close()


def test_the_steady_state_needs_no_disk(vault: Vault) -> None:
    (name,) = vault.tokens("t", [MAIL])
    vault._look_again = math.inf  # it looks for what others changed once in a second, and then no more
    vault.close()
    assert vault.tokens("t", [MAIL]) == [name]
    assert vault.values("t", [name]) == {name: Entry(*MAIL)}


def test_an_expired_token_means_nothing_and_one_in_use_does_not_expire(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1_000_000.0
    monkeypatch.setattr("agentflow.guard.vault.vault.time", lambda: clock)
    vault = Vault(path, KEY, ttl_days=10)
    used, unused = vault.tokens("t", [MAIL, ("EMAIL", "bob@example.com")])
    clock += 6 * 86_400
    vault.tokens("t", [MAIL])
    clock += 6 * 86_400
    assert set(vault.values("t", [used, unused])) == {used}
    vault._writes = vault_module._PURGE_EVERY
    vault.tokens("t", [("EMAIL", "carol@example.com")])
    with sqlite3.connect(path) as db:
        assert {row[0] for row in db.execute("SELECT token FROM tokens")} >= {used}
        assert not list(db.execute("SELECT 1 FROM tokens WHERE token = ?", (unused,)))
    db.close()
    vault.close()


def test_giving_a_value_back_counts_as_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000_000.0
    monkeypatch.setattr("agentflow.guard.vault.vault.time", lambda: clock)
    vault = Vault(path, KEY, ttl_days=10)
    (name,) = vault.tokens("t", [MAIL])
    for _ in range(3):
        clock += 6 * 86_400
        assert vault.values("t", [name]) == {name: Entry(*MAIL)}
        vault.close()
        vault = Vault(path, KEY, ttl_days=10)
    clock += 11 * 86_400
    assert vault.values("t", [name]) == {}
    vault.close()


def test_a_value_is_given_back_though_its_life_cannot_be_prolonged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000_000.0
    monkeypatch.setattr("agentflow.guard.vault.vault.time", lambda: clock)
    vault = Vault(path, KEY, ttl_days=10)
    (name,) = vault.tokens("t", [MAIL])
    clock += 6 * 86_400
    vault.store.db.execute("PRAGMA query_only = 1")
    assert vault.values("t", [name]) == {name: Entry(*MAIL)}
    vault.close()


def test_files_are_private(tmp_path: Path) -> None:
    open_vault(config(tmp_path)).close()
    assert {
        p.name: oct(p.stat().st_mode & 0o777) for p in tmp_path.iterdir() if p.name in ("vault.db", "master.key")
    } == {
        "vault.db": "0o600",
        "master.key": "0o600",
    }


def test_the_key_file_is_made_once_and_read_again(tmp_path: Path) -> None:
    assert key_file(tmp_path) == key_file(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["master.key"]


def test_a_configured_key_needs_no_file(tmp_path: Path) -> None:
    assert key_ring(config(tmp_path, KEY)).first.id == LocalMaster(KEY).id
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_key_is_refused_and_the_file_left_as_it_was(vault: Vault, path: Path, tmp_path: Path) -> None:
    (name,) = vault.tokens("t", [MAIL])
    vault.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another master key"):
        open_vault(config(tmp_path, bytes(32)))
    assert path.read_bytes() == before
    again = Vault(path, KEY)
    assert name in again.values("t", [name])
    again.close()


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    open_vault(config(tmp_path)).close()
    (tmp_path / "master.key").unlink()
    with pytest.raises(ConfigError, match="is gone"):
        open_vault(config(tmp_path))
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize("content", ["", "short", "!" * 44, base64.b64encode(bytes(31)).decode()])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "master.key").write_text(content)
    (tmp_path / "master.key").chmod(0o600)
    with pytest.raises(ConfigError, match="32 bytes"):
        key_file(tmp_path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key_file(tmp_path)
    (tmp_path / "master.key").chmod(0o644)
    with pytest.raises(ConfigError, match="Others may read"):
        key_file(tmp_path)


def test_a_damaged_vault_is_refused_and_left_as_it_was(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot be opened"):
        Vault(path, KEY)
    assert path.read_bytes() == before


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be opened"):
        Vault(path, KEY)


def test_a_token_given_out_survives_kill_9(path: Path) -> None:
    done = run_python(
        """
        import os, signal, sys
        from pathlib import Path
        from agentflow.guard.vault import Vault
        vault = Vault(Path(sys.argv[1]), bytes(range(32)))
        print(vault.tokens("t", [("EMAIL", "alice@example.com")])[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        str(path),
    )
    assert done.returncode == -signal.SIGKILL
    name = done.stdout.strip()
    vault = Vault(path, KEY)
    assert vault.values("t", [name]) == {name: Entry(*MAIL)}
    vault.close()


def test_a_full_disk_refuses_new_tokens_and_keeps_the_old(path: Path) -> None:
    done = run_python(
        """
        import resource, signal, sys
        from pathlib import Path
        from agentflow.errors import VaultUnavailable
        from agentflow.guard.vault import Vault
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        vault = Vault(Path(sys.argv[1]), bytes(range(32)), memory=1)
        old = vault.tokens("t", [("EMAIL", "alice@example.com")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        refused = 0
        for n in range(20):
            try:
                vault.tokens("t", [("API_KEY", f"{n}" + "x" * 20_000)])
            except VaultUnavailable:
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        new = vault.tokens("t", [("EMAIL", "bob@example.com")])
        print(refused > 0, set(vault.values("t", old + new)) == {*old, *new})
        """,
        str(path),
    )
    assert done.stdout.strip() == "True True", done.stderr


def test_a_vault_locked_for_too_long_refuses(vault: Vault, path: Path) -> None:
    vault.store.db.execute("PRAGMA busy_timeout = 10")
    (old,) = vault.tokens("t", [MAIL])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(VaultUnavailable, match="locked"):
        vault.tokens("t", [("EMAIL", "bob@example.com")])
    assert vault.tokens("t", [MAIL]) == [old]
    other.execute("ROLLBACK")
    assert len(vault.tokens("t", [("EMAIL", "bob@example.com")])) == 1
    other.close()


def test_several_processes_share_one_vault_from_its_first_moment(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from agentflow.config import Config
        from agentflow.guard.vault import open_vault
        vault = open_vault(Config(data_dir=Path(sys.argv[1])))
        for n in range(30):
            print(vault.tokens("t", [("EMAIL", f"{n}@example.com")])[0])
        """
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: run_python(code, str(tmp_path)), range(3)))
    assert [run.returncode for run in runs] == [0, 0, 0], [run.stderr for run in runs]
    assert len({run.stdout for run in runs}) == 1
    vault = open_vault(config(tmp_path))
    names = runs[0].stdout.split()
    assert [vault.values("t", [name])[name].value for name in names] == [f"{n}@example.com" for n in range(30)]
    vault.close()


def test_threads_share_one_vault(vault: Vault) -> None:
    values = [("EMAIL", f"{n}@example.com") for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: vault.tokens("t", values), range(8)))
    assert all(result == results[0] for result in results)


@given(st.lists(st.tuples(st.sampled_from(["EMAIL", "CARD"]), st.text() | st.integers(10**7, 10**18)), max_size=8))
def test_any_value_comes_back(values: list[tuple[str, str | int]]) -> None:
    names = SHARED.tokens("t", values)
    back = SHARED.values("t", names)
    assert [back[name] for name in names] == [Entry(*value) for value in values]


@pytest.fixture(autouse=True, scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global SHARED
    SHARED = Vault(tmp_path_factory.mktemp("vault") / "vault.db", KEY)
    yield
    SHARED.close()


SHARED: Vault
