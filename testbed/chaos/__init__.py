"""Virtual runs in which everything dies: what is promised then, and who checks it."""
