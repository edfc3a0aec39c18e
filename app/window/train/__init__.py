"""The workspace Train: the experiment as a form and as YAML, its start, and everything a run shows while it goes on."""
