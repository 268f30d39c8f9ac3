"""What each `agentflow` command does; one module per group, each imported only when its command runs."""
