"""The images of a folder, and where their annotations and the models trained on them lie.

FOLDER/a.tif or FOLDER/images/a.tif
FOLDER/labels/a_labels.tif      the annotation
FOLDER/runs/001/                a training run
"""

from dataclasses import dataclass
from pathlib import Path

from biounet.errors import InputError
from biounet.images.layouts.folders import IMAGE_FOLDERS, child_folders
from biounet.images.layouts.matching import bare_stem, has_label_name, list_images
from biounet.images.reading import image_stem


@dataclass(frozen=True)
class ImageFolder:
    """The places of a folder; `root` is absolute and without links."""

    root: Path
    images: Path

    @property
    def labels(self) -> Path:
        """The annotations."""
        return self.root / "labels"

    @property
    def runs(self) -> Path:
        """The training runs."""
        return self.root / "runs"


def open_folder(path: Path) -> ImageFolder:
    """The folder that a person named.

    Raises:
        InputError: no such folder, or no image in it.
    """
    root = path.resolve()
    if not root.is_dir():
        raise InputError(f"no folder {path}", "a folder of images", "check the path")
    inside = child_folders(root, IMAGE_FOLDERS)
    folder = ImageFolder(root, inside[0] if len(inside) == 1 else root)
    list_names(folder)
    return folder


def list_names(folder: ImageFolder) -> list[str]:
    """The file names of the images, sorted.

    Raises:
        InputError: the folder is gone, or holds no image.
    """
    files = list_images(folder.images)
    flat = folder.images == folder.root
    names = [p.name for p in files if not (flat and has_label_name(p))]
    if not names:
        raise InputError(
            f"only label images in {folder.images}", "images to annotate", "add the images"
        )
    return names


def image_path(folder: ImageFolder, name: str) -> Path:
    """The file of an image.

    Raises:
        InputError: no image of this name, or one that lies outside the folder.
    """
    if name not in list_names(folder):
        raise InputError(
            f"no image {name[:200]!r} in {folder.images}",
            "one of the images in the folder",
            "reload the page",
        )
    return inside(folder, folder.images / name)


def inside(folder: ImageFolder, path: Path) -> Path:
    """The path, if it does not lead out of the folder.

    Raises:
        InputError: a link to somewhere else.
    """
    if not path.resolve().is_relative_to(folder.root):
        raise InputError(
            f"a link that leads out of the folder: {path.name}",
            f"files inside {folder.root}",
            "copy the file into the folder",
        )
    return path


def labels_path(folder: ImageFolder, name: str) -> Path:
    """Where the annotation of an image lies, or will lie.

    Raises:
        InputError: another image or another label file has the same stem.
    """
    stem = image_stem(Path(name))
    twins = [other for other in list_names(folder) if image_stem(Path(other)) == stem]
    if len(twins) > 1:
        raise InputError(
            f"two images for one name: {' and '.join(twins)}",
            "one annotation per image",
            "rename one of them",
        )
    path = inside(folder, folder.labels) / f"{stem}_labels.tif"
    if folder.labels.is_dir():
        own = bare_stem(Path(name))
        others = [
            p.name
            for p in folder.labels.iterdir()
            if p.name != path.name and not p.name.startswith(".") and bare_stem(p) == own
        ]
        if others and not path.exists():
            raise InputError(
                f"labels of another name for {name}: labels/{others[0]}",
                f"labels/{path.name}",
                "rename the file to annotate further on it",
            )
    return inside(folder, path)
