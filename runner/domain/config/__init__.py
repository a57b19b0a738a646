"""treedock.yaml: its keys, their rules, and what is wrong with a value."""
