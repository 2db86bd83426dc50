"""What is the user's to mend, by kind: whoever catches one names the kind that is meant."""


class UserError(Exception):
    """What is wrong, where, and what to do about it, in one line. The command line prints it and exits with 2."""


class StoreMissing(UserError):
    """There is no such store: a stage was not run."""


class StoreDamaged(UserError):
    """A store is not what was committed."""


class OutOfDate(UserError):
    """A store is whole, but not of its inputs as they are now, or of another format: a stage has to run again."""


class DoesNotFit(UserError):
    """Two things that do not go together: another kind of store, another extractor, other parameters."""


class Diverged(UserError):
    """The recurrence has no code for an image: its step is too long for atoms that are so strongly correlated."""
