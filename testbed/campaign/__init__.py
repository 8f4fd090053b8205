"""Many virtual runs: swept, merged and reported."""
