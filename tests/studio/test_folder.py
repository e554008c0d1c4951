"""Which images a folder has, and that nothing outside it is touched."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from biounet.errors import InputError
from biounet.studio.exports import labels_zip
from biounet.studio.folder import image_path, labels_path, list_names, open_folder


def test_images_lie_in_the_folder_or_in_images(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    flat = open_folder(write_images(tmp_path / "flat"))
    nested = open_folder(write_images(tmp_path / "nested/images").parent)
    for folder in (flat, nested):
        assert list_names(folder) == ["a.tif", "b.tif"]
        assert labels_path(folder, "a.tif") == folder.root / "labels/a_labels.tif"
    assert image_path(nested, "a.tif") == nested.root / "images/a.tif"


def test_label_images_beside_the_images_are_no_images(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    write_images(tmp_path)
    tifffile.imwrite(tmp_path / "a_mask.tif", np.zeros((60, 80), np.uint8))
    assert list_names(open_folder(tmp_path)) == ["a.tif", "b.tif"]


@pytest.mark.parametrize("name", ["../a.tif", "/etc/passwd", "", "labels", "a.tif/", "A.tif", "\0"])
def test_other_names_are_refused(
    write_images: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    write_images(tmp_path / "outside")
    folder = open_folder(write_images(tmp_path / "inside"))
    with pytest.raises(InputError, match="no image"):
        image_path(folder, name)


def test_links_out_of_the_folder_are_refused(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    outside = write_images(tmp_path / "outside")
    folder = open_folder(write_images(tmp_path / "inside"))
    (folder.root / "link.tif").symlink_to(outside / "a.tif")
    with pytest.raises(InputError, match="a link that leads out of the folder"):
        image_path(folder, "link.tif")
    (folder.root / "labels").symlink_to(outside)
    with pytest.raises(InputError, match="a link that leads out of the folder"):
        labels_path(folder, "a.tif")


def test_a_link_inside_the_folder_is_followed(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = open_folder(write_images(tmp_path))
    (tmp_path / "c.tif").symlink_to(tmp_path / "a.tif")
    assert image_path(folder, "c.tif") == tmp_path.resolve() / "c.tif"


def test_one_annotation_per_image(write_images: Callable[..., Path], tmp_path: Path) -> None:
    folder = open_folder(write_images(tmp_path))
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"two images for one name: a\.png and a\.tif"):
        labels_path(folder, "a.tif")
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels/b_mask.tif", np.zeros((60, 80), np.uint8))
    with pytest.raises(InputError, match=r"labels of another name for b\.tif: labels/b_mask\.tif"):
        labels_path(folder, "b.tif")


def test_labels_of_another_program_are_packed(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = open_folder(write_images(tmp_path))
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels/a_labels.tif", np.ones((60, 80), np.uint8))
    packed = zipfile.ZipFile(io.BytesIO(bytes(labels_zip(folder).body)))
    assert packed.namelist() == ["labels/a_labels.tif"]


def test_a_folder_that_is_not_there_or_disappears(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no folder"):
        open_folder(tmp_path / "nothing")
    folder = open_folder(write_images(tmp_path / "here"))
    folder.root.rename(tmp_path / "gone")
    with pytest.raises(InputError, match="no folder"):
        list_names(folder)
