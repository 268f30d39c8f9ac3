"""What an administrator does to a vault, in SQLite and PostgreSQL: forget, destroy, change keys; and old files open."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hmac import digest
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from databases import cut_off
from moto import mock_aws
from pydantic import SecretStr

from agentflow.config import Config
from agentflow.config_guard import GuardConfig, VaultConfig
from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.vault import Entry, Vault, open_vault, upkeep
from agentflow.guard.vault import vault as vault_module
from agentflow.guard.vault.master import KeyRing, LocalMaster, key_file, write_key_file
from agentflow.guard.vault.postgres_store import PostgresStore
from agentflow.guard.vault.sqlite_store import SqliteStore
from agentflow.guard.vault.store import VaultStore

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
MAIL = ("EMAIL", "alice@example.com")
Opener = Callable[[], VaultStore]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    if request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "vault.db")
        return
    url = request.getfixturevalue("database")
    yield lambda: PostgresStore(url)


@pytest.fixture
def vaults(store: Opener) -> Iterator[Callable[..., Vault]]:
    opened: list[Vault] = []

    def open_one(keys: KeyRing | bytes = KEY, **more: float) -> Vault:
        opened.append(Vault(store(), keys, **more))
        return opened[-1]

    yield open_one
    for vault in opened:
        vault.close()


def look_again(vault: Vault) -> None:
    """As if `NOTICE` seconds had passed."""
    vault._look_again = 0.0


def test_tokens_come_back_by_another_process_and_are_the_same_there(vaults: Callable[..., Vault]) -> None:
    one, two = vaults(), vaults()
    values = [("EMAIL", f"{n}@example.com") for n in range(900)] + [("CARD", 4111111111111111)]
    names = one.tokens("t", values)
    assert two.tokens("t", values) == names
    assert [two.values("t", names)[name] for name in names] == [Entry(*value) for value in values]


def test_two_that_name_the_same_values_at_once_agree(vaults: Callable[..., Vault]) -> None:
    opened = [vaults() for _ in range(3)]
    values = [("EMAIL", f"{n}@example.com") for n in range(60)]
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda vault: [vault.tokens("t", [value])[0] for value in values], opened))
    assert runs[0] == runs[1] == runs[2]


def test_each_scope_has_tokens_of_its_own(vaults: Callable[..., Vault]) -> None:
    vault = vaults()
    (wide,), (narrow,) = vault.tokens("t", [MAIL]), vault.tokens("t", [MAIL], "session 1")
    assert wide != narrow
    for reader in (vault, vaults()):
        assert reader.values("t", [wide, narrow], "session 1") == {narrow: Entry(*MAIL)}
        assert reader.values("t", [wide, narrow], "session 2") == {}
        assert reader.values("t", [wide, narrow]) == {wide: Entry(*MAIL)}


def test_a_forgotten_value_is_gone_in_all_scopes_and_forms_and_others_notice(vaults: Callable[..., Vault]) -> None:
    serving, admin = vaults(), vaults()
    names = serving.tokens("t", [MAIL, ("EMAIL", "bob@example.com"), ("USERNAME", "Alice@Example.com")])
    scoped = serving.tokens("t", [MAIL], "session 1")
    kept = serving.tokens("u", [MAIL])
    done = upkeep.forget(admin, "t", "ALICE@example.com")
    assert (done.entries, done.types) == (3, {"EMAIL": 2, "USERNAME": 1})
    look_again(serving)
    assert set(serving.values("t", names)) == {names[1]}
    assert serving.values("t", scoped, "session 1") == {}
    assert set(serving.values("u", kept)) == set(kept)
    assert upkeep.forget(admin, "t", "alice@example.com").entries == 0


def test_a_forgotten_number_is_found_however_it_was_written(vaults: Callable[..., Vault]) -> None:
    vault = vaults()
    vault.tokens("t", [("CARD", 4111111111111111), ("CARD", "4111-1111-1111-1111"), ("PHONE", "+1 555 0100")])
    assert upkeep.forget(vault, "t", "4111 1111 1111 1111", "PHONE").entries == 0
    assert upkeep.forget(vault, "t", "4111 1111 1111 1111").types == {"CARD": 2}


def test_the_name_of_a_forgotten_value_is_not_given_out_again(vaults: Callable[..., Vault]) -> None:
    vault = vaults()
    seen: list[str] = []
    for _ in range(5):  # more often than there are lengths of names
        (name,) = vault.tokens("t", [MAIL])
        assert name not in seen
        seen.append(name)
        assert upkeep.forget_token(vault, "t", name).entries == 1
    assert vault.values("t", seen) == {}


def test_a_destroyed_tenant_leaves_no_key_and_the_others_alone(vaults: Callable[..., Vault]) -> None:
    serving, admin = vaults(), vaults()
    (mine,), (theirs,) = serving.tokens("t", [MAIL]), serving.tokens("u", [MAIL])
    assert upkeep.shred(admin, "t").entries == 1
    assert admin.store.keys("t") == []
    look_again(serving)
    assert serving.values("t", [mine]) == {}
    assert serving.values("u", [theirs]) == {theirs: Entry(*MAIL)}
    assert serving.tokens("t", [MAIL]) != [mine]


def test_new_data_keys_change_no_token_while_others_serve(
    vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_PAGE", 7)
    serving, admin = vaults(memory=1), vaults()
    values = [("EMAIL", f"{n}@example.com") for n in range(40)]
    names = serving.tokens("t", values)
    before = {token: row for _, token, row in admin.store.page("t", upkeep._START, 99)}
    assert upkeep.rotate_data_keys(admin) == 40
    after = {token: row for _, token, row in admin.store.page("t", upkeep._START, 99)}
    assert all(after[name].sealed != before[name].sealed and after[name].key == 2 for name in names)
    assert [row.number for row in admin.store.keys("t") if row.kind == "data"] == [2]
    assert serving.values("t", names) == {name: Entry(*value) for name, value in zip(names, values, strict=True)}
    (late,) = serving.tokens("t", [("EMAIL", "late@example.com")])
    assert set(vaults().values("t", [late])) == {late}
    assert vaults().tokens("t", values) == names


def test_a_new_master_key_is_put_in_force_without_a_moment_of_silence(vaults: Callable[..., Vault]) -> None:
    old, new = LocalMaster(KEY), LocalMaster(OTHER)
    serving = vaults(KEY)
    (name,) = serving.tokens("t", [MAIL])
    between = vaults(KeyRing([new, old]))
    (other,) = between.tokens("u", [MAIL])  # wrapped by the key in force, which is still the old one
    assert serving.values("u", [other]) == {other: Entry(*MAIL)}
    assert upkeep.rotate_master(between) == 5
    assert upkeep.rotate_master(between) == 0
    assert set(vaults(OTHER).values("t", [name])) == {name}
    with pytest.raises(ConfigError, match="another master key"):
        vaults(KEY)
    with pytest.raises(VaultUnavailable, match="another master key"):
        serving.tokens("v", [MAIL])


def test_what_expired_is_deleted(vaults: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000_000.0
    monkeypatch.setattr("agentflow.guard.vault.vault.time", lambda: clock)
    vault = vaults(ttl_days=10)
    (name,) = vault.tokens("t", [MAIL])
    clock += 11 * 86_400
    assert vault.values("t", [name]) == {}
    vault._writes = vault_module._PURGE_EVERY
    vault.tokens("t", [("EMAIL", "bob@example.com")])
    assert name not in vault.store.find("t", "", [name])


def test_status_counts_what_is_there(vaults: Callable[..., Vault]) -> None:
    vault = vaults()
    vault.tokens("t", [MAIL])
    found = upkeep.status(vault)
    assert found.tenants == (upkeep.TenantStatus("t", 1, (1,)),)
    assert found.wrapped == {found.master: 3}


def test_a_database_that_is_gone_refuses_and_says_no_password() -> None:
    with pytest.raises(ConfigError, match="cannot be used") as refused:
        PostgresStore("postgresql://user:hunter2@localhost:1/db?connect_timeout=1")
    assert "hunter2" not in f"{refused.value} {refused.value.payload()}"


def test_a_broken_connection_refuses_once_and_is_made_anew(database: str) -> None:
    vault = Vault(PostgresStore(database), KEY)
    (token,) = vault.tokens("t", [MAIL])
    cut_off(database)
    with pytest.raises(VaultUnavailable):
        vault.tokens("t", [("EMAIL", "bob@example.com")])
    assert set(vault.tokens("t", [MAIL])) == {token}
    assert len(vault.tokens("t", [("EMAIL", "bob@example.com")])) == 1
    vault.close()


# -- what only one of them has


def test_nothing_forgotten_is_left_in_the_files(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.db", KEY)
    (name,) = vault.tokens("t", [MAIL])
    sealed = vault.store.find("t", "", [name])[name].sealed
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert sealed in held
    upkeep.forget(vault, "t", MAIL[1])
    assert sealed not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    vault.close()


def test_no_clear_value_reaches_the_disk_whatever_is_done(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.db", KEY)
    names = vault.tokens("t", [("EMAIL", f"canary{n}@example.com") for n in range(30)], "session canary-session")
    vault.stand_ins("t", [("PERSON", "Canary Bird")], lambda key, kind, value, turn: "Mara Holt")
    vault.values("t", names, "session canary-session")
    upkeep.rotate_data_keys(vault)
    upkeep.forget(vault, "t", "canary3@example.com")
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir()).lower()
    assert b"canary" not in held
    assert b"mara" not in held
    vault.close()


def first_vault(path: Path, key: bytes, rows: list[tuple[str, str, str, str]]) -> None:
    """A vault file as AgentFlow 0.x wrote it: keys derived from the master key, one table of entries."""

    def derive(purpose: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, salt=None, info=b"agentflow vault 1: " + purpose).derive(key)

    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE entries (tenant TEXT NOT NULL, token TEXT NOT NULL, sealed BLOB NOT NULL, expires REAL NOT NULL,"
        " PRIMARY KEY (tenant, token)) WITHOUT ROWID;"
    )
    proof, nonce = b"agentflow vault 1", bytes(12)
    db.execute(
        "INSERT INTO meta VALUES ('proof', ?)", (nonce + AESGCM(derive(b"proof", 32)).encrypt(nonce, proof, proof),)
    )
    for tenant, token, kind, value in rows:
        sealing = AESGCM(derive(b"tenant " + tenant.encode(), 64)[32:])
        clear = b"s" + kind.encode() + b"\0" + value.encode()
        bound = f"{len(tenant)}:{tenant}:{token}".encode()
        db.execute(
            "INSERT INTO entries VALUES (?, ?, ?, 9e9)", (tenant, token, nonce + sealing.encrypt(nonce, clear, bound))
        )
    db.commit()
    db.close()


def first_name(key: bytes, tenant: str, kind: str, value: str) -> str:
    material = HKDF(SHA256(), 64, salt=None, info=b"agentflow vault 1: tenant " + tenant.encode()).derive(key)
    mac = digest(material[:32], b"\0".join((b"text", kind.encode(), value.encode())), "sha256")
    return f"{kind}_{mac.hex()[:8]}"


def test_a_file_of_the_first_vault_goes_on_with_every_token(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    people = [(tenant, "EMAIL", f"{n}@example.com") for tenant in ("a", "b") for n in range(20)]
    rows = [(tenant, first_name(KEY, tenant, kind, value), kind, value) for tenant, kind, value in people]
    first_vault(path, KEY, rows)
    with pytest.raises(ConfigError, match="another master key"):
        Vault(path, OTHER)
    vault = Vault(path, KEY)
    for tenant, name, kind, value in rows:
        assert vault.values(tenant, [name]) == {name: Entry(kind, value)}
        assert vault.tokens(tenant, [(kind, value)]) == [name]
    vault.close()
    again = Vault(path, KEY)
    assert len(again.values("a", [row[1] for row in rows])) == 20
    again.close()
    with sqlite3.connect(path) as db:
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchall()
    db.close()


def test_the_key_file_is_changed_beside_a_running_gateway(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    serving = open_vault(config)
    (name,) = serving.tokens("t", [MAIL])
    write_key_file(tmp_path, [OTHER, *key_file(tmp_path)])
    admin = open_vault(config)
    assert upkeep.rotate_master(admin) == 3
    write_key_file(tmp_path, [OTHER])
    look_again(serving)
    assert serving.values("t", [name]) == {name: Entry(*MAIL)}
    assert len(serving.tokens("new", [MAIL])) == 1
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    for vault in (serving, admin):
        vault.close()


@pytest.fixture
def kms_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)
    with mock_aws():
        import boto3

        yield boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_aws_kms_wraps_the_keys_and_a_local_key_can_be_left_for_it(tmp_path: Path, kms_key: str) -> None:
    secret = SecretStr(base64.b64encode(KEY).decode())
    local = open_vault(Config(data_dir=tmp_path, guard=GuardConfig(master_key=secret)))
    (name,) = local.tokens("t", [MAIL])
    local.close()
    both = GuardConfig(vault=VaultConfig(kms_key=kms_key, previous_keys=(secret,)))
    moving = open_vault(Config(data_dir=tmp_path, guard=both))
    assert moving.blocking
    assert upkeep.rotate_master(moving) == 3
    moving.close()
    only = open_vault(Config(data_dir=tmp_path, guard=GuardConfig(vault=VaultConfig(kms_key=kms_key))))
    assert only.values("t", [name]) == {name: Entry(*MAIL)}
    row = next(row for row in only.store.keys("t") if row.kind == "data")
    only.store.put_key(row._replace(tenant="u"))  # its tenant is part of the encryption context
    only.store.put_key(row._replace(tenant="u", kind="naming", number=0))
    with pytest.raises(VaultUnavailable):
        only.tokens("u", [MAIL])
    only.close()
    assert not (tmp_path / "master.key").exists()
