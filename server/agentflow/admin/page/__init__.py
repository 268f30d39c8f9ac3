"""The page under /ui: people's sessions, and the same actions as under /api/v1, drawn as HTML."""
