"""The widgets in a real napari, without a screen.

napari's own pytest plugin does not bear warnings as errors: `pytest -p no:napari tests/napari`.
"""

import os
import time
import warnings

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of napari's imports
    pytest.importorskip("napari", reason="needs the extra napari: napari")
    pytest.importorskip("qtpy.QtWidgets", reason="needs a Qt binding: PySide6 or PyQt6")

from biounet.napari.widgets import SegmentWidget, TrainWidget
from biounet.simulate import simulate_cells

pytestmark = pytest.mark.filterwarnings("ignore")  # of napari and Qt


@pytest.fixture
def viewer():
    """A viewer without its window: that draws layers with OpenGL, which Qt has not off screen."""
    from napari.components import ViewerModel
    from napari.qt import get_qapp

    get_qapp()
    return ViewerModel()


def wait(worker, until=lambda: False, seconds: float = 120) -> None:
    """Let the window's events pass until a worker has ended, or something has happened."""
    from qtpy.QtWidgets import QApplication

    ended = []
    worker.finished.connect(lambda: ended.append(True))
    deadline = time.monotonic() + seconds
    while not (ended or until()) and time.monotonic() < deadline:
        QApplication.processEvents()
        time.sleep(0.01)
    for _ in range(10):
        QApplication.processEvents()
    assert ended or until()


def test_napari_finds_the_widgets_and_docks_them():
    import napari
    from magicgui.widgets import ComboBox

    viewer = napari.Viewer(show=False)
    try:
        for name in ("Segment", "Train"):
            _, widget = viewer.window.add_plugin_dock_widget("biounet", name)
            assert isinstance(widget.image, ComboBox)  # a choice of the viewer's layers
            assert widget.start() is None
            assert widget.controls.words.value.startswith("choose an image layer")
    finally:
        viewer.close()


def test_train_stop_segment(viewer, tmp_path):
    image, labels = simulate_cells("touching-cells", (160, 160), np.random.default_rng(0))
    picture = viewer.add_image(image, name="cells", scale=(0.5, 0.5))
    by_hand = viewer.add_labels(labels, name="by hand", scale=(0.5, 0.5))
    train, segment = TrainWidget(viewer), SegmentWidget(viewer)
    train.image.choices = segment.image.choices = [picture]
    train.truth.choices = [by_hand]
    train.minutes.value = 5
    train.out.value = tmp_path / "run"
    worker = train.start()
    assert not train.controls.start.enabled
    wait(worker, until=lambda: "loss" in train.controls.words.value)
    train.controls.cancel.changed.emit(True)
    wait(worker)
    model = tmp_path / "run" / "best.safetensors"
    assert train.controls.words.value == f"model: {model}"
    assert train.controls.start.enabled

    assert segment.start() is None
    segment.model.value = model
    segment.probabilities.value = True
    wait(segment.start())
    names = [layer.name for layer in viewer.layers]
    assert names[-3:] == ["cells background", "cells cell", "cells objects"]
    objects = viewer.layers["cells objects"]
    assert objects.data.shape == image.shape
    assert tuple(objects.scale) == (0.5, 0.5)
    assert segment.controls.words.value.endswith(" objects")

    segment.model.value = tmp_path / "none.safetensors"
    wait(segment.start())
    assert "no file" in segment.controls.words.value
