"""Volumes: layers of an instance, snapshots that instances share."""
