"""Floor 3: the verbs."""
