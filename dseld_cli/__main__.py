"""`python -m dseld_cli`: the command line, where no script of it is installed."""

from dseld_cli.cli.start import run

run()
