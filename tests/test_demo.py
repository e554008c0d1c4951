"""The demonstration's page: the test images come first, with what is wrong in them."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from biounet import demo
from biounet.api import train_dataset
from biounet.config import DEMO
from biounet.images.reading import read_image
from biounet.learning.setup import Request


class Thresholded:
    """In place of a trained network: every bright piece is a cell."""

    def segment(self, path: Path) -> np.ndarray:
        image = np.asarray(read_image(path).data)
        return ndimage.label(image > image.mean())[0]


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_shortly(dataset: Any, request: Request, out: Path, *rest: Any) -> Thresholded:
        said = {
            "network": {"width": 4, "depth": 1},
            "training": {"steps": 2, "patch_px": 24, "validations": 1},
        }
        request = Request("fast", said, "cpu", None, request.started, request.command)
        train_dataset(dataset, request, out, *rest)
        return Thresholded()

    monkeypatch.setattr(demo, "train_dataset", train_shortly)
    out = tmp_path / "demo"
    result = demo.run_demo(out, None, time.monotonic(), lambda _: None)
    assert result.report == out / "report.html"
    text = result.report.read_text(encoding="utf-8")
    sections = re.findall(r'<section id="([a-z]+)"', text)
    assert sections[:2] == ["test", "predictions"]
    first = text[text.index('<section id="test"') : text.index('<section id="predictions"')]
    assert first.count("<img") == 3 * DEMO.n_test
    scores = [float(s) for s in re.findall(r">[^<]*AP50 ([\d.]+), F1", first)]
    assert scores == sorted(scores) and len(scores) == DEMO.n_test
    assert re.search(r"\d+ merged", first)  # a threshold cannot part cells that touch
    numbers = re.findall(r"<dd>([^<]*)<", text)
    assert numbers[0] == f"{result.ap50:.2f}"
    assert 0 < result.ap50 < 1
    assert (out / "run" / "report.html").exists()
