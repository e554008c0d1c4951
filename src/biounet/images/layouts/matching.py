"""Match image files with their label files by name."""

import re
from collections.abc import Sequence
from pathlib import Path

from biounet.errors import InputError
from biounet.images.reading import image_stem, is_image

_LABEL_ENDING = re.compile(
    r"[_\-. ](cp_masks?|masks?|labels?|labelled|gt|groundtruth|ground_truth|seg|segmentation|"
    r"annotations?|instances?|ids?)$",
    re.IGNORECASE,
)
_IMAGE_ENDING = re.compile(
    r"[_\-. ](img|images?|im|raw|volume|probs?|probability|probabilities|pred|prediction)$",
    re.IGNORECASE,
)
_BY_PRODUCT = re.compile(r"_(flows|cp_output|outlines|cp_outlines)$", re.IGNORECASE)


def has_label_name(path: Path) -> bool:
    """Whether the file's name ends like that of a label image ("x_mask.png")."""
    return _LABEL_ENDING.search(image_stem(path)) is not None


def bare_stem(path: Path) -> str:
    """The stem without an ending that says label or image."""
    return _IMAGE_ENDING.sub("", _LABEL_ENDING.sub("", image_stem(path)))


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, sorted.

    Hidden files, other types, and by-products that Cellpose leaves beside images are passed over.

    Raises InputError when the folder does not exist, or holds nothing that can be read.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", "a folder of images", "check the path")
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    images = [p for p in entries if is_image(p) and not _BY_PRODUCT.search(image_stem(p))]
    if images:
        return images
    refuse_pickled(entries)
    others = sorted({"".join(p.suffixes[-2:]) or p.name for p in entries if p.is_file()})
    if others:
        shown = ", ".join(others[:4]) + (", …" if len(others) > 4 else "")
        raise InputError(
            f"no image that can be read in {folder}, only files of type {shown}",
            "TIFF, PNG, JPEG or OME-Zarr images",
            "save the images as TIFF (in Fiji: File > Save As > Tiff)",
        )
    raise InputError(
        f"an empty folder: {folder}" if not entries else f"no images in {folder}, only folders",
        "images in it",
        "check the path",
    )


def by_number(path: Path) -> list[str | int]:
    """A key to sort files by name as people do: slice 2 before slice 10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)]


def refuse_pickled(paths: Sequence[Path]) -> None:
    """Raise InputError for Cellpose's `_seg.npy` files, which can run code when opened."""
    for path in paths:
        if path.name.endswith("_seg.npy"):
            raise InputError(
                f"labels in a pickled Cellpose file: {path}",
                "label images",
                "save the masks as PNG or TIFF (in Cellpose: File > Save masks), x_masks.tif",
            )


def match_by_name(
    images: Sequence[Path], labels: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pairs (image, label) with the same stem, and the images without a label.

    Endings such as "_mask" of labels and "_img" of images are left out where the full stems do
    not match.

    Raises InputError for a label without an image, stems that several files share, and when
    nothing matches.
    """
    image_of = _by_stem(images, "images", bare=False)
    label_of = _by_stem(labels, "labels", bare=False)
    if not image_of.keys() & label_of.keys():
        image_of = _by_stem(images, "images", bare=True)
        label_of = _by_stem(labels, "labels", bare=True)
    matched = image_of.keys() & label_of.keys()
    if not matched:
        raise InputError(
            f"no label that belongs to an image (images such as {images[0].name}, "
            f"labels such as {labels[0].name})",
            "the same names for images and labels",
            "rename the labels like their images (an ending such as _mask is understood)",
        )
    lone = sorted(label_of.keys() - matched)
    if lone:
        more = f" and {len(lone) - 1} more" if len(lone) > 1 else ""
        raise InputError(
            f"a label with no image: {label_of[lone[0]]}{more}",
            "an image of the same name for each label",
            "add the image, or take the label out",
        )
    pairs = [(image_of[stem], label_of[stem]) for stem in sorted(matched)]
    return pairs, [image_of[stem] for stem in sorted(image_of.keys() - matched)]


def _by_stem(files: Sequence[Path], what: str, *, bare: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        stem = bare_stem(path) if bare else image_stem(path)
        if stem in found:
            raise InputError(
                f"two {what} for one name: {found[stem].name} and {path.name} in {path.parent}",
                "one file per image",
                "take one of them out",
            )
        found[stem] = path
    return found
