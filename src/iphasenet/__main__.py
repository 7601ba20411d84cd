"""The command, in whatever environment Python is: `python -m iphasenet`."""

from iphasenet.cli import main

main()
