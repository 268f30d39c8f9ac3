"""A small model on this machine, in a process of its own, that can only write plans which are valid and allowed."""
