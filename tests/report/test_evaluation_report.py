"""The page about an evaluation."""

import re
from pathlib import Path

import numpy as np
import pytest

from biounet.report import Compared, EvaluatedImage, write_evaluation_report


def labels(shift: int = 0) -> np.ndarray:
    result = np.zeros((60, 80), np.uint16)
    for k in range(3):
        result[10:30, 5 + 25 * k + shift : 20 + 25 * k + shift] = k + 1
    return result


def page(path: Path, images: list[EvaluatedImage], labels_are: str = "instances") -> str:
    write_evaluation_report(
        path / "evaluation.html",
        "predicted & true",
        {"AP50": 0.75, "F1_50": 0.8571, "nothing": float("nan")},
        images,
        labels_are,
        "biounet evaluate predicted truth",
        {"AP": {"0.50": 0.75, "0.75": 0.5}},
    )
    return (path / "evaluation.html").read_text(encoding="utf-8")


def test_worst_images_come_first_with_pictures_of_their_mistakes(tmp_path: Path) -> None:
    asked = []

    def reading(name: str, with_image: bool) -> Compared:
        asked.append(name)
        image = np.full((1, 60, 80), 7, np.uint16) if with_image else None
        return Compared(labels(2), np.where(labels() == 3, 0, labels()), image)

    images = [
        EvaluatedImage(f"i{k}", {"ap50": k / 10}, lambda k=k: reading(f"i{k}", k % 2 == 0))
        for k in (3, 1, 9, 2, 8, 7, 6, 5, 4)
    ]
    text = page(tmp_path, images)
    assert asked == ["i1", "i2", "i3", "i4", "i5", "i6"]
    assert re.findall(r'<th scope="row">(i\d)</th>', text) == [f"i{k}" for k in range(1, 10)]
    assert text.count("<img") == 18
    assert "2 of 2 found, 1 extra." in text
    assert "0.857" in text and "predicted &amp; true" in text and "–" in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize("labels_are", ["mask", "classes"])
def test_masks_classes_and_volumes(labels_are: str, tmp_path: Path) -> None:
    volume = np.stack([labels(), labels(1)]) > 0
    compared = Compared(volume, volume[::-1])
    image = EvaluatedImage("v", {"dice": 0.9}, lambda: compared)
    assert page(tmp_path, [image], labels_are).count("<img") == 3


def test_images_without_scores_or_pictures_come_last(tmp_path: Path) -> None:
    images = [EvaluatedImage("none", {"seg": float("nan")}), EvaluatedImage("one", {"seg": 0.5})]
    text = page(tmp_path, images)
    assert re.findall(r'<th scope="row">(none|one)</th>', text) == ["one", "none"]
    assert "<img" not in text


def test_scores_alone_are_a_page(tmp_path: Path) -> None:
    assert "Image by image" not in page(tmp_path, [])
