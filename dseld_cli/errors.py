"""The one kind of failure that is the user's to mend."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one line. The command line prints it and exits with 2."""
