"""What each run of the flow did, kept for reading and for training the planner."""
