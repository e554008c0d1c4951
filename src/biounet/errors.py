"""The one error that a user's mistake raises: what was found, what was wanted, what to do."""


class InputError(ValueError):
    """A mistake in what the user gave (files, arrays, settings), told in one line.

    The command line prints it and exits with 2; in Python it is a `ValueError`.
    """

    def __init__(self, found: str, wanted: str, remedy: str) -> None:
        self.found = found
        self.wanted = wanted
        self.remedy = remedy
        super().__init__(f"found {found}; wanted {wanted}; {remedy}")
