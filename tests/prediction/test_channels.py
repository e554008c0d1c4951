"""A file for each channel, as nnU-Net has them: joined for a model of so many channels."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from biounet.config import PredictionSettings
from biounet.errors import InputError
from biounet.images.channels import Joined, grouped_channels, read_channels
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.model import write_model
from biounet.prediction.jobs.files import predict_files

PLAIN = PredictionSettings(
    engine="torch", precision="float32", tile=76, save=("labels", "probabilities")
)
IN_BLOCKS = PLAIN.model_copy(update={"memory_bytes": 0, "block_px": 32})


@pytest.fixture
def two_channels(tmp_path, small_model, blobs):
    """A model of two channels, a folder of channel files, and the same images in one file each."""
    write_model(small_model(channels=2), tmp_path / "m.safetensors")
    (tmp_path / "apart").mkdir()
    (tmp_path / "whole").mkdir()
    for case in range(2):
        channels = np.stack([blobs(10 * case + c, 90, 80) for c in range(2)])
        write_image(tmp_path / "whole" / f"case_{case}.tif", channels, "CYX", (0.5, 0.5))
        for c in range(2):
            path = tmp_path / "apart" / f"case_{case}_{c:04d}.tif"
            write_image(path, channels[c], "YX", (0.5, 0.5))
    return tmp_path


@pytest.mark.parametrize("options", [PLAIN, IN_BLOCKS])
def test_channel_files_give_the_results_of_one_file(two_channels, options):
    model_path = two_channels / "m.safetensors"
    for name in ("apart", "whole"):
        outcome = predict_files(
            model_path, [two_channels / name], two_channels / f"{name}-out", options
        )
        assert (len(outcome.done), outcome.failed) == (2, ())
    written = sorted(path.name for path in (two_channels / "whole-out").glob("*.tif"))
    assert written == [
        f"case_{k}_{what}.tif" for k in (0, 1) for what in ("labels", "probabilities")
    ]
    for name in written:
        one, other = (read_image(two_channels / f"{n}-out" / name) for n in ("apart", "whole"))
        np.testing.assert_array_equal(one.data, other.data)
        assert one.pixel_size_um == other.pixel_size_um == pytest.approx((0.5, 0.5))
        assert np.max(one.data) > 0


@pytest.mark.parametrize("options", [PLAIN, IN_BLOCKS])
def test_pages_without_names_are_channels_of_such_a_model(two_channels, options):
    """As in training, which saw that one label belongs to both pages."""
    model_path, whole = two_channels / "m.safetensors", two_channels / "whole" / "case_0.tif"
    plain = two_channels / "plain" / "case_0.tif"
    plain.parent.mkdir()
    tifffile.imwrite(plain, read_image(whole).data, photometric="minisblack", metadata=None)
    found, expected = two_channels / "found", two_channels / "expected"
    assert not predict_files(model_path, [plain], found, options).failed
    predict_files(model_path, [whole], expected, options)
    for name in ("case_0_labels.tif", "case_0_probabilities.tif"):
        one, other = (np.asarray(read_image(folder / name).data) for folder in (found, expected))
        np.testing.assert_array_equal(one, other)
        assert one.max() > 0


def test_a_second_run_knows_both_files(two_channels):
    arguments = (two_channels / "m.safetensors", [two_channels / "apart"], two_channels / "out")
    predict_files(*arguments, PLAIN)
    assert predict_files(*arguments, PLAIN).skipped == 2
    changed = two_channels / "apart" / "case_1_0001.tif"
    write_image(changed, np.asarray(read_image(changed).data)[:, ::-1], "YX")
    assert predict_files(*arguments, PLAIN).skipped == 1


def test_a_channel_that_is_not_there_or_differs_is_told(two_channels, blobs):
    (two_channels / "apart" / "case_0_0001.tif").unlink()
    write_image(two_channels / "apart" / "case_1_0001.tif", blobs(0, 90, 81), "YX")
    outcome = predict_files(
        two_channels / "m.safetensors", [two_channels / "apart"], two_channels / "out", PLAIN
    )
    errors = {path.name: error for path, error in outcome.failed}
    assert "with 1 channels" in errors["case_0_0000.tif"]
    assert "channels that differ" in errors["case_1_0000.tif"]
    assert "90 x 81" in errors["case_1_0000.tif"]
    assert not (two_channels / "out").exists()


def test_a_model_of_one_channel_takes_each_file(tmp_path, model_path, blobs):
    for c in range(2):
        write_image(tmp_path / f"case_{c:04d}.tif", blobs(c, 50, 50), "YX")
    outcome = predict_files(model_path, [tmp_path], tmp_path / "out", PLAIN)
    assert [path.name for path in outcome.done] == ["case_0000.tif", "case_0001.tif"]
    assert (tmp_path / "out" / "case_0001_labels.tif").exists()


def test_grouping():
    def groups(names, n_channels):
        found = grouped_channels([Path(name) for name in names], n_channels)
        return [tuple(map(str, group)) for group in found]

    files = ["a_0000.tif", "b_0001.tif", "a_0001.tif", "b_0000.tif", "c.tif"]
    assert groups(files, 2) == [
        ("a_0000.tif", "a_0001.tif"),
        ("b_0000.tif", "b_0001.tif"),
        ("c.tif",),
    ]
    assert groups(files, 1) == [(name,) for name in files]
    assert groups(files[:3], 3) == [(name,) for name in files[:3]]
    assert groups(["x/a_0000.tif", "y/a_0001.tif"], 2) == [("x/a_0000.tif",), ("y/a_0001.tif",)]


def test_joined_channels_read_like_one_array(tmp_path, blobs):
    channels = [blobs(k, 20, 30) for k in range(3)]
    joined, whole = Joined(tuple(channels)), np.stack(channels)
    assert (joined.shape, joined.ndim, joined.dtype) == (whole.shape, 3, whole.dtype)
    for key in [
        (slice(None),) * 3,
        (slice(1, 3), slice(2, 5), slice(0, 9)),
        (1, slice(3), slice(4)),
    ]:
        np.testing.assert_array_equal(joined[key], whole[key])
    write_image(tmp_path / "a_0000.tif", np.stack(channels[:2]), "CYX")
    write_image(tmp_path / "a_0001.tif", np.stack(channels[:2]), "CYX")
    with pytest.raises(InputError, match="a file of one channel by its name"):
        read_channels([tmp_path / "a_0000.tif", tmp_path / "a_0001.tif"])
