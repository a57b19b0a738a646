"""git: the repositories of this host, read and changed by its command."""
