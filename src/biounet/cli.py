"""The command line: parses and calls. Every command has a file of its own in `commands/`.

Commands import what they need when they run, so that `--help` is instant.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from cyclopts import App, CycloptsError, Parameter

from biounet.commands.demo import demo
from biounet.commands.ensemble import ensemble
from biounet.commands.evaluate import evaluate
from biounet.commands.export import export
from biounet.commands.inspect import inspect
from biounet.commands.predict import predict
from biounet.commands.report import report
from biounet.commands.reproduce import reproduce
from biounet.commands.studio import studio
from biounet.commands.train import train
from biounet.errors import InputError
from biounet.version import __version__

app = App(
    name="biounet",
    help="Train a U-Net on a handful of annotated images; segment images of any size, seamlessly.",
    version=__version__,
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for command in (
    demo,
    train,
    predict,
    ensemble,
    evaluate,
    report,
    inspect,
    export,
    studio,
    reproduce,
):
    app.command(command)


@contextmanager
def _ctrl_c_stops() -> Iterator[None]:
    """Send Ctrl-C again if it came in a finalizer, out of which Python raises nothing.

    From the end on it ends the process at once: nothing is left to be done, and Python, on its
    way out, would tell of it in many lines.
    """
    tell = sys.unraisablehook

    def send_again(raised: "sys.UnraisableHookArgs") -> None:
        if isinstance(raised.exc_value, KeyboardInterrupt):
            Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()  # now it would be lost again
        else:
            tell(raised)

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = tell
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)


@_ctrl_c_stops()
def main() -> None:
    """Run a command; a user's mistake is one line on standard error and exit code 2."""
    try:
        sys.exit(
            app(
                sys.argv[1:],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            or 0
        )
    except (InputError, CycloptsError) as error:
        print(f"biounet: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that may not be written
        found = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        remedy = "check the path, its permissions and the room on the disk"
        print(f"biounet: found {found}; wanted files to read and write; {remedy}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt as stopped:
        print("; ".join(["biounet: stopped", *map(str, stopped.args)]), file=sys.stderr)  # noqa: T201
        sys.exit(130)
