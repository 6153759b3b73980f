"""Open-model load: requests leave when they are due, whether or not the earlier ones have been answered."""
