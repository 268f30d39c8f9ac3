"""Planner, executor, verifier, solver, their memory and their loop."""
