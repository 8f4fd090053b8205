"""The station's doors, on loopback: a page, a JSON interface, OpenAI's and Ollama's APIs."""
