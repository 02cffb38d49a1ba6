"""What a component of each kind promises, the hooks that register it, and what is checked of it."""
