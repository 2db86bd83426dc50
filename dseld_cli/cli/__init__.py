"""The command line: options in, one stage call, user errors out as one line. No logic."""
