"""Run the program as `python -m plausible`."""

from plausible.cli.main import main

main()
