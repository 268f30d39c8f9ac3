"""Secrets in text: the forms that services give their keys, and what configuration and prose call a secret.

It promises time linear in the text and that hashes, UUIDs, lock files and encoded pictures are left alone. It refuses
to guess: a random-looking value counts only where its form is a vendor's or its name says what it is.
"""

from __future__ import annotations

from typing import Final

TYPES: Final = ("API_KEY", "CLOUD_KEY", "PRIVATE_KEY", "JWT", "URL_CREDENTIALS", "PASSWORD", "SECRET")
