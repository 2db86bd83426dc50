"""One file per subcommand: open what it reads, call the pure function, write what it made."""
