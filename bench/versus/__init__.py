"""groundloop beside what people would use instead, on the same links: `make versus`."""
