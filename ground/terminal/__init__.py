"""A station that stands, on a whole terminal: what is shown, how it is drawn, and the keys."""
