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

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """Made again from its three parts when it comes from another process."""
        return type(self), (self.found, self.wanted, self.remedy)


class OutputError(InputError):
    """Nothing more can be written to where the results go: a full disk, a read-only folder."""
