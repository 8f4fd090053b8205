"""Live runs in which processes, clocks, disks and the link fail at random moments."""
