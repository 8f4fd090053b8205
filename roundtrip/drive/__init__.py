"""Drivers: the only code that reads a clock, opens a socket or waits."""
