"""The lab: a plan becomes a running solution behind a network that can be measured, and then nothing again."""
