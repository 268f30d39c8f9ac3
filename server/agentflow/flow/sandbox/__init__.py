"""Code that a plan wrote, run where it can reach nothing: no network, no files, bounded time, memory and output."""
