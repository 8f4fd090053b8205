"""Delay-tolerant transport: BPv7 bundles over LTP. Pure state machines; imports nothing of ours."""
