"""What the node has on board besides its engine: telemetry, tools, images."""
