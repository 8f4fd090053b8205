"""Texts on the air: as short as they get, never longer than they are."""
