"""The Licklider Transmission Protocol: segments, sessions, timers, RFC 5326."""
