"""Curves for TensorBoard, where it is installed; nothing where it is not."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from biounet.learning.run_folder import Record


def tensorboard_curves(folder: Path) -> Callable[[Record], None]:
    """What draws the records of a run into `folder`; does nothing without TensorBoard."""
    if find_spec("tensorboard") is None:
        return lambda _: None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def on_record(record: Record) -> None:
        if record["kind"] == "step":
            writer.add_scalar("loss", record["loss"], record["step"])
            writer.add_scalar("rate", record["rate"], record["step"])
        elif record["kind"] == "validation":
            writer.add_scalar(record["score"], record["value"], record["step"])
        elif record["kind"] == "end":
            writer.close()

    return on_record
