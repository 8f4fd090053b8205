"""Uploads on board: what is kept of them, and which model flies."""
