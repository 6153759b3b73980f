"""Processes, started so that they can be ended."""
