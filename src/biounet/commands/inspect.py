"""What data, a model or a run is."""

from pathlib import Path

from biounet.commands.output import say


def inspect(*what: Path) -> None:
    """Say what data, a model or a run is, in one screen; of nothing, which networks come along.

    Example: `biounet inspect my-folder`

    Parameters
    ----------
    what
        A folder of annotated images, an image and its labels, a model file, a run folder, or a
        network that comes with biounet: em-membranes, dic-cells, phase-contrast-cells, nuclei.
    """
    from biounet.inspection import describe

    say(describe(list(what)))
