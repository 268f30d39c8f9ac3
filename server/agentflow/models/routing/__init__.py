"""Which model serves a request: those that may, by tier and limits, and of them one by rule or by what was learnt."""
