"""This machine: its processes, packages and sockets."""
