"""Uploads on the ground: what goes up next, and how far it is."""
