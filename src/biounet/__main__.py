"""Where the program begins: the command line, and Ctrl-C while it is still being loaded."""

import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from biounet.cli import main as run
    except KeyboardInterrupt:  # nothing has begun
        print("biounet: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
