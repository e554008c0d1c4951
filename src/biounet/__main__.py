"""`python -m biounet`: the command line."""

from biounet.cli import main

if __name__ == "__main__":
    main()
