"""One module per wish of a user."""
