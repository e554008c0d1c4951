"""Images and labels in folders: two folders, one folder with endings, one image and its label."""

from collections.abc import Sequence
from pathlib import Path

from biounet.errors import InputError
from biounet.images.dataset import Source
from biounet.images.layouts.assembly import Found
from biounet.images.layouts.label_notes import read_label_notes
from biounet.images.layouts.matching import (
    bare_stem,
    has_label_name,
    list_images,
    match_by_name,
    refuse_pickled,
)
from biounet.images.layouts.pages import Pair
from biounet.images.reading import image_stem, is_image

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "input", "inputs")
LABEL_FOLDERS = (
    "labels",
    "label",
    "masks",
    "mask",
    "gt",
    "groundtruth",
    "ground_truth",
    "annotations",
    "targets",
)


def named_like_labels(path: Path) -> bool:
    """Whether the name of a file or folder says that it holds labels."""
    return has_label_name(path) if is_image(path) else path.name.lower() in LABEL_FOLDERS


def child_folders(folder: Path, names: Sequence[str]) -> list[Path]:
    """The folders inside `folder` that have one of the names, in any case of letters."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.lower() in names)


def find_two(images: Path, labels: Path) -> Found:
    """A folder of images and one of labels, matched by name; or one image and its label."""
    for path in (images, labels):
        refuse_pickled([path])
        if not path.exists():
            raise InputError(f"no file or folder {path}", "images and labels", "check the path")
    if is_image(images) or is_image(labels):
        return Found((_pair(images, labels),), "one image and its label")
    matched, lone = match_by_name(list_images(images), list_images(labels))
    notes = read_label_notes(labels)
    return Found(
        tuple(_pair(*pair) for pair in matched),
        f"two folders ({images.name}/ and {labels.name}/), matched by name",
        _without_label(lone),
        None if notes is None else notes.labels_are,
        None if notes is None else notes.ignore_value,
    )


def find_in_folder(folder: Path) -> Found:
    """images/ and labels/ inside a folder, images and a folder labels/, or both side by side."""
    inside = {"images": IMAGE_FOLDERS, "labels": LABEL_FOLDERS}
    children = {what: child_folders(folder, names) for what, names in inside.items()}
    for what, several in children.items():
        if len(several) > 1:
            raise InputError(
                f"several folders of {what}: {', '.join(path.name for path in several)}",
                "one folder of images and one of labels",
                "say which with --images and --labels",
            )
    if children["images"] and children["labels"]:
        return find_two(children["images"][0], children["labels"][0])
    if children["labels"] and any(map(is_image, folder.iterdir())):
        return find_two(folder, children["labels"][0])
    return _side_by_side(folder, list_images(folder))


def named_alike(image: Path) -> tuple[list[Path], list[Path]]:
    """The images and the labels in the folder of an image that have its name, but for endings."""
    alike = [path for path in list_images(image.parent) if bare_stem(path) == bare_stem(image)]
    labels = [path for path in alike if has_label_name(path)]
    return [path for path in alike if path not in labels], labels


def find_label_of(image: Path) -> Found:
    """One image and the label that lies beside it."""
    refuse_pickled([image])
    if not is_image(image):
        raise InputError(
            f"a file that is no image: {image}",
            "a TIFF, PNG, JPEG or OME-Zarr image with its label",
            "save it as TIFF (in Fiji: File > Save As > Tiff)",
        )
    images, labels = named_alike(image)
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"an image with {len(labels)} labels beside it: {image}"
            if len(images) == 1
            else f"a label with {len(images)} images beside it: {image}",
            "one image and one label",
            f"name the label {bare_stem(image)}_mask.tif, or give both files",
        )
    return Found((_pair(images[0], labels[0]),), "one image and its label")


def _side_by_side(folder: Path, files: Sequence[Path]) -> Found:
    labels = [path for path in files if has_label_name(path)]
    images = [path for path in files if not has_label_name(path)]
    if not labels:
        refuse_pickled(sorted(folder.iterdir()))
    if not labels or not images:
        raise InputError(
            f"{len(images)} images and {len(labels)} labels in {folder}",
            "images with labels: folders images/ and labels/, or x.png with x_mask.png",
            "arrange them so, or name the folders with --images and --labels",
        )
    matched, lone = match_by_name(images, labels)
    return Found(
        tuple(_pair(*pair) for pair in matched),
        "one folder, labels told by the ending of their names",
        _without_label(lone),
    )


def _pair(image: Path, label: Path) -> Pair:
    return Pair(image_stem(image), (Source(image.name, image),), (Source(label.name, label),))


def _without_label(lone: Sequence[Path]) -> tuple[str, ...]:
    if not lone:
        return ()
    if len(lone) == 1:
        return (f"an image has no label and is left out: {lone[0].name}",)
    return (f"{len(lone)} images have no label and are left out (the first: {lone[0].name})",)
