"""Everything about GGUF files: making, inspecting, sizing."""
