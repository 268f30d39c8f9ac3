"""What each page shows: from actions to templates, nothing else."""
