"""The process that asks language models: routed, budgeted, cached, failing over. The gateway asks it over a socket."""
