"""What conversations have been exposed to, on disk: shared by the gateways of one machine, kept over restarts.

`ConversationStore` is the port; `taint_postgres.py` is its other form, for gateways on several machines.

A table of small blobs per conversation in `taint.db` of the data directory (SQLite, WAL). Conversations and owners
are named by hashes, and the blobs hold labels, hashes and names of servers: nothing of what was read. They are sealed
(AES-256-GCM) with a key of this installation, `taint.key` beside the file, readable by its owner only: short values
could be guessed from bare hashes. It promises that what `append` was given is seen by the next `after` of any gateway
on the machine, and that a conversation unused for `ttl` seconds is forgotten. It refuses nothing; a store that cannot
be used is an `AgentFlowError`, and the call is refused.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentflow.errors import AgentFlowError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversation (
    id BLOB PRIMARY KEY, owner BLOB NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversation_owner ON conversation (owner, used);
CREATE TABLE IF NOT EXISTS learnt (seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, what BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS learnt_id ON learnt (id, seq);
"""
REFRESH: Final = 300.0  # seconds between two notes of a conversation's last use
VERSION: Final = 2  # of the file; what an earlier one holds in the open is forgotten
_NONCE = 12


class ConversationStore(Protocol):
    """Blobs by conversation, in the order in which they were added. Every method may raise `AgentFlowError`."""

    @property
    def blocking(self) -> bool:
        """Whether a call may wait for a network: then none is made on the event loop."""
        ...

    def changed(self) -> bool:
        """Whether another gateway may have written since this was last asked."""
        ...

    def append(self, conversation: bytes, owner: bytes, what: bytes) -> int:
        """Add a blob to a conversation; return its number."""
        ...

    def replace(self, conversation: bytes, seq: int, known: Sequence[bytes]) -> list[int]:
        """Put `known` in the place of a conversation's blobs up to number `seq`; return the numbers they get."""
        ...

    def after(self, conversation: bytes, seq: int = 0) -> list[tuple[int, bytes]]:
        """Return the `(number, blob)` of a conversation after number `seq`, in order."""
        ...

    def adopt(self, conversation: bytes, owner: bytes, carry_over: float, after_restart: float) -> None:
        """Give a new conversation what its owner's broken-off ones have learnt; nothing where it is not new.

        Broken off are those that a gateway which is gone held within `after_restart` seconds, and, whoever holds them,
        those used within `carry_over` seconds.
        """
        ...

    def close(self) -> None:
        """Let go of the store. Idempotent."""
        ...


class Seal:
    """Seals blobs (AES-256-GCM) with a key of 32 bytes.

    Args:
        place: what the key and the blobs are kept in, for the error.
    """

    def __init__(self, key: bytes, place: str) -> None:
        self._cipher = AESGCM(key)
        self._place = place

    def closed(self, what: bytes) -> bytes:
        """Return nonce and ciphertext."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, what, None)

    def opened(self, sealed: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            AgentFlowError: it was sealed with another key, or altered.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except InvalidTag:
            raise AgentFlowError(
                f"What conversations have read was sealed with another key than that of {self._place}",
                fix=f"restore the key, or empty {self._place}: conversations begin anew",
            ) from None


class TaintStore:
    """One file of conversations: a `ConversationStore`.

    Args:
        path: made if it is not there.
        ttl: seconds without use after which a conversation is forgotten.

    Raises:
        AgentFlowError: the file cannot be used.
    """

    blocking = False

    def __init__(self, path: Path, ttl: float) -> None:
        self._ttl = ttl
        self._boot = f"{os.getpid()}-{time.time_ns()}"
        self._noted: dict[bytes, float] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA cache_size = -256")
            self._seal = Seal(_key(path.with_suffix(".key")), "data_dir's taint.db")
            if self._db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._db.executescript(f"DROP TABLE IF EXISTS learnt; PRAGMA user_version = {VERSION}")
            self._db.executescript(_SCHEMA)
            self._forget()
        except (OSError, sqlite3.Error) as error:
            raise AgentFlowError(
                f"What conversations have read cannot be kept in {path}: {error}", fix="Check data_dir"
            ) from error
        self._version = self._data_version()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def changed(self) -> bool:
        """Whether another gateway has written since this was last asked."""
        version = self._data_version()
        if version == self._version:
            return False
        self._version = version
        return True

    def append(self, conversation: bytes, owner: bytes, what: bytes) -> int:
        """Add a blob to a conversation; return its number.

        Raises:
            AgentFlowError: it could not be written.
        """
        try:
            self._note(conversation, owner)
            return self._insert(conversation, what)
        except sqlite3.Error as error:
            raise _unusable(error) from error

    def replace(self, conversation: bytes, seq: int, known: Sequence[bytes]) -> list[int]:
        """Put `known` in the place of a conversation's blobs up to number `seq`; return the numbers they get.

        Raises:
            AgentFlowError: it could not be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("DELETE FROM learnt WHERE id = ? AND seq <= ?", (conversation, seq))
                numbers = [self._insert(conversation, what) for what in known]
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unusable(error) from error
        return numbers

    def _insert(self, conversation: bytes, what: bytes) -> int:
        row = self._db.execute("INSERT INTO learnt (id, what) VALUES (?, ?)", (conversation, self._seal.closed(what)))
        return int(row.lastrowid or 0)

    def after(self, conversation: bytes, seq: int = 0) -> list[tuple[int, bytes]]:
        """Return the `(number, blob)` of a conversation after number `seq`, in order.

        Raises:
            AgentFlowError: it could not be read.
        """
        try:
            found = self._db.execute(
                "SELECT seq, what FROM learnt WHERE id = ? AND seq > ? ORDER BY seq", (conversation, seq)
            )
            return [(number, self._seal.opened(bytes(what))) for number, what in found]
        except sqlite3.Error as error:
            raise _unusable(error) from error

    def adopt(self, conversation: bytes, owner: bytes, carry_over: float, after_restart: float) -> None:
        """Give a new conversation what its owner's broken-off ones have learnt; nothing where it is not new.

        Broken off are those that a gateway which is gone held within `after_restart` seconds, and, whoever holds them,
        those used within `carry_over` seconds.

        Raises:
            AgentFlowError: the store could not be used.
        """
        now = time.time()
        try:
            if self._db.execute("SELECT 1 FROM conversation WHERE id = ?", (conversation,)).fetchone():
                return
            found = self._db.execute(
                "SELECT id, boot, pid, used FROM conversation WHERE owner = ? AND used > ?",
                (owner, now - max(carry_over, after_restart) - REFRESH),
            ).fetchall()
            left = [
                other
                for other, boot, pid, used in found
                if self._broken_off(boot, pid, now - used, carry_over, after_restart)
            ]
            for other in left:
                self._db.execute(
                    "INSERT INTO learnt (id, what) SELECT ?, what FROM learnt WHERE id = ? ORDER BY seq",
                    (conversation, other),
                )
            if left:
                self._note(conversation, owner)
        except sqlite3.Error as error:
            raise _unusable(error) from error

    def _broken_off(self, boot: str, pid: int, idle: float, carry_over: float, after_restart: float) -> bool:
        # The last use is noted every few minutes only.
        if carry_over and idle < carry_over + REFRESH:
            return True
        return bool(after_restart) and boot != self._boot and idle < after_restart + REFRESH and not _alive(pid)

    def _note(self, conversation: bytes, owner: bytes) -> None:
        now = time.time()
        if now - self._noted.get(conversation, 0.0) < REFRESH:
            return
        if len(self._noted) > 4096:
            self._noted.clear()
            self._forget()
        self._noted[conversation] = now
        self._db.execute(
            "INSERT OR REPLACE INTO conversation VALUES (?, ?, ?, ?, ?)",
            (conversation, owner, self._boot, os.getpid(), now),
        )

    def _forget(self) -> None:
        self._db.execute("DELETE FROM conversation WHERE used < ?", (time.time() - self._ttl,))
        self._db.execute("DELETE FROM learnt WHERE id NOT IN (SELECT id FROM conversation)")

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])


def _key(path: Path) -> bytes:
    """The installation's key, made when it is not there: whole or not at all, also where two gateways start at once."""
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_bytes(secrets.token_bytes(32))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # the other gateway's
        finally:
            fresh.unlink()
    found = path.read_bytes()
    if len(found) != 32:
        raise OSError(f"{path} is not 32 bytes long")
    return found


def key(*parts: str) -> bytes:
    """A conversation's or an owner's name in the store."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # that gateway had this number before
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unusable(error: sqlite3.Error) -> AgentFlowError:
    return AgentFlowError(f"What conversations have read cannot be kept: {error}", fix="Check data_dir")
