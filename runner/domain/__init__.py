"""Floor 1, pure: nouns and decisions. No docker, git, disk, network or clock."""
