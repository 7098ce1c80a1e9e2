"""Medicarche: a company's IT environment described in one file, built, proved and measured on OpenStack."""

__all__ = ["__version__"]

__version__ = "0.1.0"
