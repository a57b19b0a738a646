"""The version of treedock, which that of pyproject.toml equals."""

__version__ = "0.1.0"
