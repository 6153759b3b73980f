"""All that is decided before anything is touched."""
