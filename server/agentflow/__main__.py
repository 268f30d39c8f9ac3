"""`python -m agentflow` is the `agentflow` command."""

from __future__ import annotations

import sys

from agentflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
