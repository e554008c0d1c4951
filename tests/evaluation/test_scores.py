"""Scores of files against files: pairing, class axes, challenge folders, JSON."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from biounet.cli import app
from biounet.errors import InputError
from biounet.evaluation import evaluate_files, headline, pair_files, write_scores
from biounet.evaluation.files import parted_cells
from biounet.images.writing import write_image
from biounet.metrics import MetricWarning, evaluate_isbi2012

GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = pytest.mark.filterwarnings("ignore::biounet.metrics.MetricWarning")


def isbi_case(name: str) -> tuple[np.ndarray, np.ndarray]:
    (path,) = (GOLDEN / "isbi2012").rglob(f"{name}.npz")
    case = np.load(path)
    return case["prob"], case["labels"]


def test_a_stack_of_probabilities_against_a_stack_of_labels(tmp_path: Path) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    tifffile.imwrite(tmp_path / "p.tif", probabilities, photometric="minisblack")
    tifffile.imwrite(tmp_path / "l.tif", (labels * 255).astype(np.uint8), photometric="minisblack")
    scores = evaluate_files(tmp_path / "p.tif", tmp_path / "l.tif")
    assert scores["metrics"] == "isbi2012"
    assert scores["v_rand"] == pytest.approx(0.730777, abs=1e-6)
    assert scores["v_info"] == pytest.approx(0.606298, abs=1e-6)
    assert scores["rand_error"] == pytest.approx(0.337163, abs=1e-6)
    assert scores["warping_error"] == pytest.approx(0.00115741, abs=1e-8)
    assert scores["pixel_error"] == pytest.approx(0.204228, abs=1e-6)
    assert len(scores["v_rand_at"]) == 11


def test_probabilities_of_8_bits_are_divided_by_255(tmp_path: Path) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    bytes_ = np.round(probabilities * 255).astype(np.uint8)
    bytes_[2] = 0  # a slice without any cell tells the range as little as one of 0 and 1 does
    for name, slices in (("bytes", bytes_), ("floats", bytes_ / np.float32(255))):
        (tmp_path / name).mkdir()
        for z, one in enumerate(slices):
            write_image(tmp_path / name / f"{z}.tif", one, "YX")
    (tmp_path / "labels").mkdir()
    for z, one in enumerate(labels):
        write_image(tmp_path / "labels" / f"{z}.tif", one.astype(np.uint8), "YX")
    with pytest.warns(MetricWarning, match="divided by 255"):
        scored = evaluate_files(tmp_path / "bytes", tmp_path / "labels", "isbi2012")
    assert scored == evaluate_files(tmp_path / "floats", tmp_path / "labels", "isbi2012")


def test_two_slices_are_slices_and_a_class_axis_is_one(tmp_path: Path) -> None:
    """Two pages are two slices; only the axes' names make them two classes."""
    probabilities, labels = (stack[:2] for stack in isbi_case("t18_stack3"))
    tifffile.imwrite(tmp_path / "p.tif", probabilities, photometric="minisblack")
    tifffile.imwrite(tmp_path / "l.tif", (labels * 255).astype(np.uint8))
    expected = evaluate_files(tmp_path / "p.tif", tmp_path / "l.tif")
    classes = np.stack([1 - probabilities, probabilities], axis=1)
    write_image(tmp_path / "c.tif", classes, "TCYX")
    got = evaluate_files(tmp_path / "c.tif", tmp_path / "l.tif")
    assert got == expected
    assert got["n_slices"] == 2


@pytest.mark.parametrize("n_slices", [1, 2, 3, 4])
@pytest.mark.parametrize("form", ["ImageJ", "OME", "TIFF"])
def test_pages_saved_as_channels_are_slices(tmp_path: Path, form: str, n_slices: int) -> None:
    """Many a program saves a plain stack as channels, or three pages as red, green and blue."""
    rng = np.random.default_rng(n_slices)
    labels = rng.random((n_slices, 24, 25)) > 0.3
    probabilities = np.clip(labels * 0.5 + rng.random(labels.shape) * 0.5, 0, 1)
    paths = []
    for name, pages in (
        ("p", probabilities.astype(np.float32)),
        ("l", (labels * 255).astype(np.uint8)),
    ):
        path = tmp_path / (f"{name}.ome.tif" if form == "OME" else f"{name}.tif")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of tifffile: such a file is old
            tifffile.imwrite(path, pages, imagej=form == "ImageJ", ome=form == "OME")
        paths.append(path)
    scores = evaluate_files(paths[0], paths[1], "isbi2012")
    expected = evaluate_isbi2012(probabilities.astype(np.float32), labels)
    assert (scores["n_slices"], scores["v_rand"]) == (n_slices, expected.v_rand)


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "ZYXC"])
@pytest.mark.parametrize("form", ["c.tif", "c.ome.zarr"])
def test_a_class_axis_may_stand_anywhere(tmp_path: Path, form: str, axes: str) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    classes = np.stack([1 - probabilities, probabilities * 0, probabilities], axis=1)
    order = ["ZCYX".index(a) for a in axes]
    write_image(tmp_path / form, classes.transpose(order), axes)
    tifffile.imwrite(tmp_path / "l.tif", labels.astype(np.uint8), photometric="minisblack")
    scores = evaluate_files(tmp_path / form, tmp_path / "l.tif", "isbi2012")
    assert scores["v_rand"] == pytest.approx(0.730777, abs=1e-6)


def test_folders_are_paired_by_name(tmp_path: Path) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    for kind in ("p", "l"):
        (tmp_path / kind).mkdir()
    for z in range(3):
        classes = np.stack([1 - probabilities[z], probabilities[z]])
        write_image(tmp_path / "p" / f"s{z}_probabilities.tif", classes, "CYX")
        write_image(tmp_path / "l" / f"s{z}.png", (labels[z] * 255).astype(np.uint8), "YX")
    scores = evaluate_files(tmp_path / "p", tmp_path / "l", "isbi2012")
    assert scores["v_rand"] == pytest.approx(0.730777, abs=1e-6)


def squares(*corners: tuple[int, int]) -> np.ndarray:
    labels = np.zeros((20, 20), np.uint16)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + 4, x : x + 4] = number
    return labels


def test_matching_by_hand(tmp_path: Path) -> None:
    """Of two cells one is found exactly, one is missed, and there is one too many."""
    for kind, labels in (("p", squares((0, 0), (0, 12))), ("l", squares((0, 0), (12, 0)))):
        (tmp_path / kind).mkdir()
        write_image(tmp_path / kind / "a.tif", labels, "YX")
    scores = evaluate_files(tmp_path / "p", tmp_path / "l", "matching")
    assert scores["ap"]["0.50"] == pytest.approx(1 / 3)
    assert scores["f1"]["0.90"] == pytest.approx(1 / 2)
    assert headline(scores).startswith("AP50 0.3333")


def test_overlap_by_hand(tmp_path: Path) -> None:
    write_image(tmp_path / "p.tif", squares((0, 0)) * np.uint16(255), "YX")
    write_image(tmp_path / "l.tif", squares((0, 2)) * np.uint16(255), "YX")
    scores = evaluate_files(tmp_path / "p.tif", tmp_path / "l.tif", "auto")
    assert scores["metrics"] == "overlap"
    assert scores["iou"] == pytest.approx(8 / 24)
    assert scores["dice"] == pytest.approx(16 / 32)


def test_the_cell_tracking_golden_case(shared: Path) -> None:
    case = shared / "golden" / "ctc"
    rows = list(csv.DictReader((case / "expected_seg_det.csv").read_text().splitlines()))
    scores = evaluate_files(case / "01_RES", case / "01_GT")
    frames = [r for r in rows if r["frame"].isdecimal() and r["SEG"]]
    n_cells = sum(int(r["n_gt"]) for r in frames)
    mean = sum(float(r["SEG"]) * int(r["n_gt"]) for r in frames) / n_cells
    assert scores["seg"] == pytest.approx(mean, abs=2e-6)
    for r in frames:
        assert scores["seg_per_frame"][r["frame"]] == pytest.approx(float(r["SEG"]), abs=1e-6)


def test_two_classes_that_count_from_1_are_no_mask(tmp_path: Path) -> None:
    """As ilastik writes them: both are above 0, also where they are taken for each other."""
    truth, predicted = np.ones((2, 4, 5), np.uint8)
    truth[:, :2] = predicted[:, 2:] = 2
    for name, array in (("truth", truth), ("predicted", predicted)):
        write_image(tmp_path / f"{name}.tif", array, "YX")
    with pytest.warns(MetricWarning, match="class 0 does not occur"):
        scores = evaluate_files(tmp_path / "predicted.tif", tmp_path / "truth.tif")
    assert (scores["metrics"], scores["iou"], scores["dice"]) == ("overlap", 0.0, 0.0)


def test_an_image_that_nobody_annotated_stops_no_other(tmp_path: Path) -> None:
    square = np.zeros((6, 6), np.uint8)
    square[2:4, 2:4] = 1
    (tmp_path / "truth").mkdir()
    (tmp_path / "predicted").mkdir()
    for name, truth in (("a", square), ("b", np.full_like(square, 255)), ("c", 0 * square)):
        write_image(tmp_path / "truth" / f"{name}.tif", truth, "YX")
        write_image(tmp_path / "predicted" / f"{name}.tif", square * (name != "c"), "YX")
    scores = evaluate_files(
        tmp_path / "predicted", tmp_path / "truth", "overlap", ignore_value=255
    )  # and none warns of a class that only one image lacks
    assert (scores["dice"], scores["mean_dice_over_images"]) == (1.0, 1.0)
    assert list(scores["images"]) == ["a", "c"]


def test_images_with_few_objects_do_not_make_objects_a_mask(tmp_path: Path) -> None:
    for name in ("p", "l"):
        (tmp_path / name).mkdir()
        for number, labels in enumerate((squares(), squares((0, 0)), squares((0, 0), (9, 9)))):
            write_image(tmp_path / name / f"{number}.tif", labels, "YX")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the image without objects is no mistake
        scores = evaluate_files(tmp_path / "p", tmp_path / "l")
    assert (scores["metrics"], scores["ap"]["0.50"]) == ("matching", 1.0)


@pytest.mark.parametrize(("cell", "metrics"), [(7, "matching"), (1, "overlap")])
def test_what_nobody_annotated_counts_for_nothing(tmp_path: Path, cell: int, metrics: str) -> None:
    truth = squares((0, 0)) * np.uint16(cell) + squares((12, 12)) * np.uint16(2)
    truth[:, 10:12] = 9
    write_image(tmp_path / "p.tif", np.minimum(truth, cell), "YX")
    truth[:, 10:] = 9
    write_image(tmp_path / "l.tif", truth, "YX")
    files = (tmp_path / "p.tif", tmp_path / "l.tif", metrics)
    scores = evaluate_files(*files, ignore_value=9)
    assert scores["ignore_value"] == 9
    assert (scores["ap"]["0.50"] if metrics == "matching" else scores["iou"]) == 1
    scores = evaluate_files(*files)
    assert (scores["ap"]["0.50"] if metrics == "matching" else scores["iou"]) < 1


def test_only_metrics_that_know_an_ignore_value_take_one(tmp_path: Path) -> None:
    write_image(tmp_path / "p.tif", squares((0, 0)).astype(np.float32), "YX")
    write_image(tmp_path / "l.tif", squares((0, 0)), "YX")
    with pytest.raises(InputError, match=r"an ignore value for isbi2012"):
        evaluate_files(tmp_path / "p.tif", tmp_path / "l.tif", ignore_value=2)


def test_grey_labels_saved_as_colours(tmp_path: Path) -> None:
    labels = squares((0, 0), (9, 9)).astype(np.uint8)
    write_image(tmp_path / "p.png", np.stack([labels] * 3, axis=-1), "YXC")
    write_image(tmp_path / "l.png", labels, "YX")
    assert evaluate_files(tmp_path / "p.png", tmp_path / "l.png")["ap"]["0.50"] == 1


def test_objects_are_no_classes(tmp_path: Path) -> None:
    """A table of 30,000 by 30,000 classes would take all memory."""
    write_image(tmp_path / "l.tif", squares((0, 0), (9, 9)) * np.uint16(15_000), "YX")
    with pytest.raises(InputError, match=r"up to 30000; .*--metrics matching"):
        evaluate_files(tmp_path / "l.tif", tmp_path / "l.tif", "overlap")


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_scores({"a": float("nan"), "b": [1.0, float("inf")]}, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == {"a": None, "b": [1.0, None]}


def test_labels_of_cells_are_scored_as_cells_parted_by_dams(tmp_path: Path) -> None:
    touching = np.array([[[1, 1, 2, 2], [1, 1, 2, 2], [0, 3, 3, 3]]], np.uint16)
    parted = [[[1, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1]]]
    assert parted_cells(touching).tolist() == parted
    probabilities, truth = isbi_case("t18_stack3")
    tifffile.imwrite(tmp_path / "t.tif", truth.astype(np.uint8), photometric="minisblack")
    labels = np.stack([ndimage.label(p > 0.5)[0] for p in probabilities]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a_labels.tif", labels, photometric="minisblack")
    cells = (labels > 0).astype(np.float32)
    tifffile.imwrite(tmp_path / "cells.tif", cells, photometric="minisblack")
    of_labels = evaluate_files(tmp_path / "a_labels.tif", tmp_path / "t.tif", "isbi2012")
    of_cells = evaluate_files(tmp_path / "cells.tif", tmp_path / "t.tif", "isbi2012")
    assert of_labels == of_cells


def test_bad_input(tmp_path: Path) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    tifffile.imwrite(tmp_path / "l.tif", labels.astype(np.uint8), photometric="minisblack")
    integers = (probabilities * 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "integers.tif", integers, photometric="minisblack")
    with pytest.raises(InputError, match=r"integer probabilities.*or 8-bit values"):
        evaluate_files(tmp_path / "integers.tif", tmp_path / "l.tif", "isbi2012")
    tifffile.imwrite(tmp_path / "short.tif", probabilities[:2])
    with pytest.raises(InputError, match="3 slices"):
        evaluate_files(tmp_path / "short.tif", tmp_path / "l.tif", "isbi2012")
    tifffile.imwrite(tmp_path / "over.tif", probabilities * 2, photometric="minisblack")
    with pytest.raises(InputError, match="0"):
        evaluate_files(tmp_path / "over.tif", tmp_path / "l.tif", "isbi2012")
    with pytest.raises(InputError, match="no file"):
        evaluate_files(tmp_path / "none.tif", tmp_path / "l.tif")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="a folder and a file"):
        pair_files(tmp_path / "folder", tmp_path / "l.tif")
    write_image(tmp_path / "other.tif", squares((0, 0)), "YX")
    write_image(tmp_path / "wide.tif", np.zeros((20, 21), np.uint16), "YX")
    with pytest.raises(InputError, match="shape"):
        evaluate_files(tmp_path / "other.tif", tmp_path / "wide.tif", "matching")


def test_one_class_only_is_scored_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probabilities, labels = isbi_case("t15_gt_empty")
    tifffile.imwrite(tmp_path / "p.tif", probabilities[0])
    tifffile.imwrite(tmp_path / "l.tif", labels[0].astype(np.uint8))
    paths = [str(tmp_path / "p.tif"), str(tmp_path / "l.tif")]
    app(
        ["evaluate", *paths, "--metrics", "isbi2012"],
        exit_on_error=False,
        result_action="return_value",
    )
    told = capsys.readouterr()
    assert "warning" in told.err
    assert "rand_error 1" in told.out


def test_of_a_folder_of_results_the_right_files_are_taken(tmp_path: Path) -> None:
    probabilities, labels = isbi_case("t18_stack3")
    for z in range(3):
        classes = np.stack([1 - probabilities[z], probabilities[z]])
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "l").mkdir(exist_ok=True)
        write_image(tmp_path / "p" / f"s{z}_probabilities.tif", classes, "CYX")
        write_image(tmp_path / "p" / f"s{z}_labels.tif", labels[z].astype(np.uint16), "YX")
        write_image(tmp_path / "l" / f"s{z}.tif", labels[z].astype(np.uint16), "YX")
    scores = evaluate_files(tmp_path / "p", tmp_path / "l", "isbi2012")
    assert scores["v_rand"] == pytest.approx(0.730777, abs=1e-6)
    assert evaluate_files(tmp_path / "p", tmp_path / "l", "overlap")["iou"] == 1
