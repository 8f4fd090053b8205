"""The station's doors: a JSON interface with server-sent events, on loopback."""
