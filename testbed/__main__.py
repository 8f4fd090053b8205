"""`python -m testbed` is `groundloop`."""

from testbed.cli import main

main()
