"""Files of this host: written whole or not at all, read without following what a container made."""
