"""What Crucible does on GitHub. Nothing here grades; everything here talks to GitHub."""
