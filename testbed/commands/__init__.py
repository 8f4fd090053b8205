"""The `groundloop` command line."""
