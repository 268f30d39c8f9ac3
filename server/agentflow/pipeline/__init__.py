"""The one chain of stages that every message passes, and the record of what ran."""
