"""Puts ground, link and node together, live or in virtual time."""
