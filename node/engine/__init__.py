"""The language model: llama.cpp in a child process, what feeds it and what watches over it."""
