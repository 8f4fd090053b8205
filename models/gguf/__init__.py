"""GGUF files: reading, checking, sizing, making and quantizing them."""
