"""Attacks from inside an instance, each shown to work against a naive layout first."""
