"""treedock: isolated full-stack instances of one repository, merged back safely."""

__version__ = "0.1.0"
