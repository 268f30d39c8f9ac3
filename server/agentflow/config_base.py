"""What every block of the settings has in common."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

_SCHEME: Final = re.compile(r"postgres(ql)?://")
_HOSTS: Final = re.compile(r"[^:,]*(?::\d+)?(?:,[^:,]*(?::\d+)?)*|.*\].*")  # libpq takes several; IPv6 in brackets


class Section(BaseModel):
    """A block of the file: unknown keys are refused, so a typo never silently switches a guard off."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _postgres(url: SecretStr) -> SecretStr:
    """What a password does to an address when it is not written as addresses have it must not end in a message."""
    try:
        parts = urlsplit(url.get_secret_value())
        fine = _SCHEME.match(url.get_secret_value()) and "@" not in parts.path and not parts.fragment
        if fine and _HOSTS.fullmatch(parts.netloc.rpartition("@")[2]):
            return url
    except ValueError:
        pass
    raise ValueError(
        "this is no PostgreSQL address: postgresql://user:password@host:5432/name, with / ? # @ % in the password "
        "written as %2F %3F %23 %40 %25"
    )


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres)]
