"""The widgets: forms beside the image, and work in a thread that can be watched and cancelled."""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    ProgressBar,
    PushButton,
    create_widget,
)

from biounet.errors import InputError
from biounet.images.labels import LabelKind
from biounet.napari.work import (
    Cancelled,
    Picked,
    Progress,
    Report,
    in_steps,
    segment_layer,
    train_on_layers,
)

if TYPE_CHECKING:
    import napari

MODELS = "*.safetensors"


@dataclass(frozen=True)
class Controls:
    """The foot of a form: start, cancel, a bar, a line of words."""

    start: PushButton
    cancel: PushButton = field(default_factory=lambda: PushButton(text="Cancel", enabled=False))
    bar: ProgressBar = field(default_factory=lambda: ProgressBar(value=0, max=1000))
    words: Label = field(default_factory=lambda: Label(value=""))
    stop: threading.Event = field(default_factory=threading.Event)

    def below(self, *form: Any) -> list[Any]:
        """A form with its labels, and the controls under it, as wide as it."""
        self.words.native.setWordWrap(True)  # else a long line widens the whole dock
        foot: list[Any] = [self.start, self.cancel, self.bar, self.words]
        parts: list[Any] = [Container(widgets=form), Container(widgets=foot, labels=False)]
        for part in parts:
            part.margins = (0, 0, 0, 0)
        return parts

    def begin(self) -> None:
        """Nothing can be started until this ends."""
        self.stop.clear()
        self.start.enabled, self.cancel.enabled = False, True

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        self.bar.value = round(1000 * progress.share)
        self.words.value = progress.text

    def end(self, words: str) -> None:
        """Ready for the next start."""
        self.start.enabled, self.cancel.enabled = True, False
        self.bar.value = 0
        self.words.value = words


def run_in_thread(
    controls: Controls, work: Callable[[Report], Any], on_done: Callable[[Any], str]
) -> Any:
    """Do work in a thread of napari's.

    Args:
        controls: show it.
        work: is given a function to report progress to.
        on_done: takes the result in the window's thread, and says what to show.

    Returns:
        napari's worker, started.
    """
    from napari.qt.threading import create_worker

    def steps() -> Generator[Progress, None, tuple[Any, str | None]]:
        try:
            result = yield from in_steps(work)
        except InputError as error:
            return None, str(error)
        except Cancelled:
            return None, "cancelled"
        return result, None

    def done(outcome: tuple[Any, str | None]) -> None:
        result, why = outcome
        controls.end(on_done(result) if why is None else why)

    controls.begin()
    return create_worker(
        steps,
        _connect={
            "yielded": controls.show,
            "returned": done,
            "errored": lambda error: controls.end(f"failed: {error}"),
        },
    )


def pick(layer: "napari.layers.Image") -> Picked:
    """What the work needs of an image layer; of a pyramid, its finest level."""
    data = layer.data[0] if layer.multiscale else layer.data
    return Picked(layer.name, data, bool(layer.rgb), tuple(float(s) for s in layer.scale))


class SegmentWidget(Container):  # type: ignore[type-arg]
    """Segment an image layer with a trained model."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        self._viewer = viewer
        self.image: Any = create_widget(label="Image", annotation="napari.layers.Image")
        self.model = FileEdit(
            label="Model",
            mode=FileDialogMode.EXISTING_FILE,
            filter=MODELS,
            nullable=True,
            tooltip="best.safetensors of a run folder, or any model file",
        )
        self.average = ComboBox(
            label="Average over",
            choices=["none", "d4"],
            tooltip="d4: the mean over the 8 turned and mirrored images; 8 times as slow",
        )
        self.scale = FloatSpinBox(
            label="Scale",
            value=1.0,
            min=0.05,
            max=20.0,
            step=0.05,
            tooltip="0.5 where objects are twice as wide as those that the model learned from",
        )
        self.probabilities = CheckBox(
            label="Show probabilities", value=False, tooltip="an image layer for each class"
        )
        self.controls = Controls(PushButton(text="Segment"))
        self.controls.start.changed.connect(self.start)
        self.controls.cancel.changed.connect(self.controls.stop.set)
        form = (self.image, self.model, self.average, self.scale, self.probabilities)
        super().__init__(widgets=self.controls.below(*form), labels=False)

    def start(self) -> Any:
        """Begin; the worker, or None where something is not chosen."""
        layer = self.image.value
        if layer is None or self.model.value is None:
            self.controls.words.value = "choose an image layer and a model file"
            return None
        picked, model = pick(layer), Path(str(self.model.value))
        average, scale = str(self.average.value), float(self.scale.value)
        shown = bool(self.probabilities.value)
        stop = self.controls.stop
        return run_in_thread(
            self.controls,
            lambda report: segment_layer(picked, model, average, scale, shown, stop, report),
            self._add,
        )

    def _add(self, layers: list[Any]) -> str:
        for data, attributes, kind in layers:
            add = self._viewer.add_labels if kind == "labels" else self._viewer.add_image
            add(data, **attributes)
        return f"{layers[-1][0].max()} objects" if layers else "cancelled"


class TrainWidget(Container):  # type: ignore[type-arg]
    """Train a network from an image layer and a labels layer."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        self._viewer = viewer
        self.image: Any = create_widget(label="Image", annotation="napari.layers.Image")
        self.truth: Any = create_widget(label="Labels", annotation="napari.layers.Labels")
        self.labels_are = ComboBox(
            label="Labels are",
            choices=["auto", "instances", "mask", "classes"],
            tooltip="instances: every cell has a number of its own",
        )
        self.volumes = CheckBox(
            label="Three axes are a volume",
            value=False,
            tooltip="train a 3-D network; else every slice is an image",
        )
        self.minutes = FloatSpinBox(label="Minutes", value=10, min=0.05, max=10_000, step=1)
        self.out = FileEdit(
            label="New run folder",
            mode=FileDialogMode.OPTIONAL_FILE,
            nullable=True,
            tooltip="a name that is not there yet: model, log and report go into it",
        )
        self.controls = Controls(PushButton(text="Train"), PushButton(text="Stop", enabled=False))
        self.controls.start.changed.connect(self.start)
        self.controls.cancel.changed.connect(self.controls.stop.set)
        form = (self.image, self.truth, self.labels_are, self.volumes, self.minutes, self.out)
        super().__init__(widgets=self.controls.below(*form), labels=False)

    def start(self) -> Any:
        """Begin; the worker, or None where something is not chosen."""
        layer = self.image.value
        labels = self.truth.value
        if layer is None or labels is None or self.out.value is None:
            self.controls.words.value = "choose an image layer, a labels layer and a run folder"
            return None
        picked, out, stop = pick(layer), Path(str(self.out.value)), self.controls.stop
        annotated = labels.data[0] if labels.multiscale else labels.data
        said = str(self.labels_are.value)
        kind = None if said == "auto" else cast(LabelKind, said)
        volumes, minutes = bool(self.volumes.value), float(self.minutes.value)
        return run_in_thread(
            self.controls,
            lambda report: train_on_layers(
                picked, annotated, volumes, kind, minutes, out, stop, report
            ),
            lambda best: f"model: {best}",
        )
