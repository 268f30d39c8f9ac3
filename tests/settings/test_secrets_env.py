"""`secrets.env`, the file under the environment."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.settings import secrets_env

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
secret_values = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(st.dictionaries(names, secret_values, max_size=4), st.dictionaries(names, secret_values, max_size=3))
def test_what_is_added_is_what_is_read(first: dict[str, str], second: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        secrets_env.add(data_dir, first)
        new = {name: value for name, value in second.items() if name not in first}
        secrets_env.add(data_dir, new)
        assert secrets_env.read(data_dir) == first | new


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    secrets_env.add(tmp_path / "data", {"A": "1"})
    assert stat.S_IMODE((tmp_path / "data" / secrets_env.FILE).stat().st_mode) == 0o600
    assert not secrets_env.exposed(tmp_path / "data")
    (tmp_path / "data" / secrets_env.FILE).chmod(0o644)
    assert secrets_env.exposed(tmp_path / "data")


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / secrets_env.FILE
    file.write_text("# mine\nexport A='x y' # why\nB=${A}", encoding="utf-8")
    secrets_env.add(tmp_path, {"C": "3", "A": "x y"})
    assert file.read_text(encoding="utf-8") == "# mine\nexport A='x y' # why\nB=${A}\nC=\"3\"\n"
    assert secrets_env.read(tmp_path) == {"A": "x y", "B": "${A}", "C": "3"}


@pytest.mark.parametrize("variables", [{"A": "other"}, {"A B": "1"}, {"B": "\0"}])
def test_a_clash_or_a_bad_name_is_refused_and_nothing_is_written(tmp_path: Path, variables: dict[str, str]) -> None:
    secrets_env.add(tmp_path, {"A": "1"})
    with pytest.raises(ValueError):
        secrets_env.add(tmp_path, variables)
    assert secrets_env.read(tmp_path) == {"A": "1"}


def test_no_file_means_no_secrets(tmp_path: Path) -> None:
    assert secrets_env.read(tmp_path) == {}
