"""The simulated intermittent, high-latency link between ground and node."""
