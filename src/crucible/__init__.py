"""Crucible judges backend designs under load and faults, and says what each one gives and what it costs."""

__version__ = "0.1.0"
