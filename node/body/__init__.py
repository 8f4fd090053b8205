"""What the node is made of: memory, processors, battery, temperature."""
