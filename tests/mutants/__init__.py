"""Small faults planted in the code, to see whether a test notices."""
