"""Every mistake that users make with files: one clear line, and nothing else happens."""

import json

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as Pillow

from biounet.errors import InputError
from biounet.images import find_dataset, read_image, read_item, write_image

NOISE = np.random.default_rng(0).integers(0, 255, (12, 16), dtype=np.uint8)


def read_all(*sources, **options):
    """What training does first."""
    return [read_item(item) for item in find_dataset(sources, **options).items]


@pytest.fixture
def good(tmp_path, make):
    """Two images with labels, in images/ and labels/."""
    for name in "ab":
        make.image(f"images/{name}.tif")
        make.labels(f"labels/{name}.tif")
    assert len(read_all(tmp_path)) == 2
    return tmp_path


def save(path, content, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        tifffile.imwrite(path, content, **{"photometric": "minisblack", **options})


def cut(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def picture(path, mode):
    Pillow.fromarray(NOISE).convert(mode).save(path)
    path.with_suffix(".tif").unlink()


MISTAKES = {
    "size": (
        lambda d: save(d / "labels/a.tif", NOISE[:5]),
        r"sizes that don't match: image a is 12 x 16 px, its label a.tif is 5 x 16 px",
    ),
    "size transposed": (
        lambda d: save(d / "labels/a.tif", NOISE.T),
        r"image a is 12 x 16 px, its label a.tif is 16 x 12 px",
    ),
    "label without image": (
        lambda d: (d / "images/a.tif").unlink(),
        r"a label with no image: .*labels/a.tif",
    ),
    "no label matches": (
        lambda d: [p.rename(p.with_name(f"x{p.name}")) for p in (d / "labels").iterdir()],
        r"no label that belongs to an image \(images such as a.tif, labels such as xa.tif\)",
    ),
    "empty folder of labels": (
        lambda d: [p.unlink() for p in (d / "labels").iterdir()],
        "an empty folder: .*labels",
    ),
    "empty folder of images": (
        lambda d: [p.unlink() for p in (d / "images").iterdir()],
        "an empty folder: .*images",
    ),
    "no folder of labels": (
        lambda d: (d / "labels").rename(d / "things"),
        "no images in .*, only folders",
    ),
    "two folders of labels": (
        lambda d: save(d / "masks/a.tif", NOISE),
        "several folders of labels: labels, masks",
    ),
    "truncated": (lambda d: cut(d / "images/a.tif", 0.7), r"damaged or truncated TIFF.*a\.tif"),
    "truncated label": (lambda d: cut(d / "labels/a.tif", 0.7), r"damaged or truncated TIFF"),
    "only the start": (lambda d: cut(d / "images/a.tif", 0.01), "damaged or truncated TIFF"),
    "0 bytes": (
        lambda d: save(d / "images/a.tif", b""),
        r"an empty file \(0 bytes\): .*images/a.tif",
    ),
    "0 bytes label": (
        lambda d: save(d / "labels/a.tif", b""),
        r"an empty file \(0 bytes\): .*labels/a.tif",
    ),
    "no TIFF inside": (lambda d: save(d / "images/a.tif", b"hello"), "damaged or truncated TIFF"),
    "nan": (
        lambda d: save(d / "images/a.tif", np.where(NOISE > 200, np.nan, 1.0)),
        r"\d+ pixels that are NaN or infinite in a;",
    ),
    "infinite": (
        lambda d: save(d / "images/a.tif", np.where(NOISE > 200, np.inf, 1.0).astype("f4")),
        r"\d+ pixels that are NaN or infinite in a;",
    ),
    "complex": (
        lambda d: save(d / "images/a.tif", NOISE.astype(np.complex64)),
        "pixels of type complex64 in a",
    ),
    "palette png": (lambda d: picture(d / "images/a.png", "P"), "a palette .*PNG: .*a.png"),
    "palette label": (
        lambda d: (
            Pillow.fromarray(NOISE).convert("P").save(d / "labels/a.png"),
            (d / "labels/a.tif").unlink(),
        ),
        "a palette .*PNG: .*labels/a.png",
    ),
    "palette tiff": (
        lambda d: save(
            d / "images/a.tif",
            NOISE,
            photometric="palette",
            colormap=np.zeros((3, 256), np.uint16),
        ),
        "a palette .*TIFF",
    ),
    "rgba png": (lambda d: picture(d / "images/a.png", "RGBA"), "transparency .*a.png"),
    "grey and alpha": (lambda d: picture(d / "images/a.png", "LA"), "transparency .*a.png"),
    "rgba tiff": (
        lambda d: save(d / "images/a.tif", np.stack([NOISE] * 4, -1), photometric="rgb"),
        "transparency .*a.tif",
    ),
    "one image in colour": (
        lambda d: save(d / "images/a.tif", np.stack([NOISE] * 3, -1), photometric="rgb"),
        "different numbers of channels: b has 1, a has 3",
    ),
    "one volume": (
        lambda d: [
            save(d / name, np.stack([NOISE] * 5), metadata={"axes": "ZYX"})
            for name in ("images/a.tif", "labels/a.tif")
        ],
        r"2-D and 3-D images in one set \(b and a\)",
    ),
    "float label": (
        lambda d: save(d / "labels/a.tif", NOISE / 7),
        r"\d+ label pixels that are not whole numbers in a.tif",
    ),
    "nan label": (
        lambda d: save(d / "labels/a.tif", np.full((12, 16), np.nan)),
        "192 label pixels that are NaN or infinite in a.tif",
    ),
    "negative ids": (
        lambda d: save(d / "labels/a.tif", NOISE.astype(np.int16) - 9),
        r"negative label ids \(down to -\d+\) in a.tif",
    ),
    "giant ids": (
        lambda d: save(d / "labels/a.tif", NOISE.astype(np.uint32) + 2**31),
        r"a label id of 21474\d+ in a.tif",
    ),
    "label in colour": (
        lambda d: save(
            d / "labels/a.tif",
            np.stack([NOISE, NOISE.T.reshape(12, 16), NOISE], -1),
            photometric="rgb",
        ),
        r"a label image in colour \(3 channels\): a.tif",
    ),
    "jpeg label": (
        lambda d: (
            (d / "labels/a.jpg").write_bytes(imagecodecs.jpeg8_encode(NOISE)),
            (d / "labels/a.tif").unlink(),
        ),
        "labels in a JPEG.*a.jpg",
    ),
    "two images for one label": (
        lambda d: Pillow.fromarray(NOISE).save(d / "images/a.png"),
        "two images for one name: a.png and a.tif",
    ),
    "two labels for one image": (
        lambda d: Pillow.fromarray(NOISE).save(d / "labels/a.png"),
        "two labels for one name: a.png and a.tif",
    ),
    "two labels by ending": (
        lambda d: [
            (d / f"labels/{old}.tif").rename(d / f"labels/a{new}.tif")
            for old, new in (("a", "_mask"), ("b", "_label"))
        ],
        "two labels for one name: a_label.tif and a_mask.tif",
    ),
    "other types": (
        lambda d: [p.rename(p.with_suffix(".czi")) for p in (d / "images").iterdir()],
        r"no image that can be read in .*images, only files of type .czi",
    ),
    "nifti": (
        lambda d: [p.rename(p.with_suffix(".nii.gz")) for p in (d / "images").iterdir()],
        r"only files of type .nii.gz",
    ),
    "pickled labels": (
        lambda d: [p.rename(p.with_name(f"{p.stem}_seg.npy")) for p in (d / "labels").iterdir()],
        "a pickled Cellpose file: .*a_seg.npy",
    ),
    "several images in one tiff": (
        lambda d: (
            tifffile.imwrite(d / "images/a.tif", NOISE),
            tifffile.imwrite(d / "images/a.tif", np.stack([NOISE, NOISE])[:, :, 1:], append=True),
        ),
        "2 images of different kinds or sizes in one TIFF",
    ),
    "stack of another length": (
        lambda d: [
            save(d / "images/a.tif", np.stack([NOISE] * 5)),
            save(d / "labels/a.tif", np.stack([NOISE] * 4)),
        ],
        "image a is 5 x 12 x 16 px, its label a.tif is 4 x 12 x 16 px",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_data_set(good, mistake):
    make_mistake, found = MISTAKES[mistake]
    make_mistake(good)
    before = sorted((p, p.stat().st_size) for p in good.rglob("*"))
    with pytest.raises(InputError, match=found) as caught:
        read_all(good)
    assert "\n" not in str(caught.value)
    assert all((caught.value.found, caught.value.wanted, caught.value.remedy))
    assert sorted((p, p.stat().st_size) for p in good.rglob("*")) == before


@pytest.mark.parametrize(
    ("sources", "options", "found"),
    [
        ([], {}, "no data"),
        (["nowhere"], {}, "no file or folder .*nowhere"),
        (["images"], {}, "2 images and 0 labels in .*images"),
        (["labels/a.tif"], {}, "an image with 0 labels beside it: .*labels/a.tif"),
        (["notes.txt"], {}, "a file that is no image: .*notes.txt"),
        (["a_seg.npy"], {}, "a pickled Cellpose file"),
        (["images/a.tif", "notes.txt"], {}, "a file that is no image: .*notes.txt"),
        (["images/a.tif", "labels"], {}, "a folder that is no image: .*labels"),
        ([], {"images": "images"}, "only a part of: images and labels"),
        ([], {"images": "images", "labels": "nowhere"}, "no file or folder .*nowhere"),
        ([""], {"images": "images", "labels": "labels"}, "two ways to name the data"),
        ([""], {"axes": "ZYX"}, "an image without an axis Z among volumes: a"),
        ([""], {"ignore_value": -1, "images": None}, None),
    ],
)
def test_mistakes_in_what_is_asked_for(good, sources, options, found):
    (good / "notes.txt").write_text("cells")
    (good / "a_seg.npy").write_bytes(b"")
    for key in ("images", "labels"):
        if options.get(key):
            options = {**options, key: good / options[key]}
    if found is None:
        assert len(read_all(*(good / s for s in sources), **options)) == 2
        return
    with pytest.raises(InputError, match=found):
        read_all(*(good / s for s in sources), **options)


def test_nothing_annotated(good, make):
    for name in "ab":
        make.write(f"labels/{name}.tif", np.full((12, 16), 9, np.uint8))
    with pytest.raises(InputError, match="nothing but the ignore value 9"):
        read_all(good, ignore_value=9)


def test_a_mask_among_instance_ids(good):
    mask = np.zeros((12, 16), np.uint8)
    mask[::3, ::3] = 255
    save(good / "labels" / "b.tif", mask)
    with pytest.raises(InputError, match=r"a mask among instance ids.*\(b\).*labels-are"):
        read_all(good)
    assert len(read_all(good, labels_are="mask")) == 2
    mask[:, 6:], mask[1:, :] = 0, 0  # one object in two parts is an object
    save(good / "labels" / "b.tif", mask)
    assert len(read_all(good)) == 2


def test_an_empty_folder_and_one_with_folders_only(tmp_path):
    with pytest.raises(InputError, match="an empty folder"):
        find_dataset([tmp_path])
    (tmp_path / "inner").mkdir()
    with pytest.raises(InputError, match=r"no images in .*, only folders"):
        find_dataset([tmp_path])


@pytest.mark.parametrize("name", ["shaped", "imagej", "ome.ome", "plain", "compressed", "tiled"])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.9])
def test_truncated_stacks_never_lose_pages_silently(tmp_path, name, fraction):
    stack = np.random.default_rng(0).integers(0, 255, (10, 64, 48), dtype=np.uint8)
    path = tmp_path / f"{name}.tif"
    if name == "plain":
        with tifffile.TiffWriter(path) as writer:
            for page in stack:
                writer.write(page, contiguous=False, metadata=None)
    else:
        options = {
            "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
            "compressed": {"compression": "zlib"},
            "tiled": {"tile": (16, 16), "compression": "lzw"},
        }
        tifffile.imwrite(path, stack, photometric="minisblack", **options.get(name, {}))
    assert read_image(path).data.shape == (10, 64, 48)
    cut(path, fraction)
    with pytest.raises(InputError, match=r"damaged or truncated TIFF"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.95])
def test_truncated_pictures(tmp_path, suffix, fraction):
    path = tmp_path / f"x{suffix}"
    Pillow.fromarray(np.kron(NOISE, np.ones((9, 9), np.uint8))).save(path)
    cut(path, fraction)
    with pytest.raises(InputError, match=r"damaged or truncated (PNG|JPEG) file"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "axes", "found"),
    [
        ("x.tif", "ZYX", r"axes 'ZYX' for .*x.tif, which has 2 axes"),
        ("x.tif", "YY", "axes 'YY'"),
        ("x.tif", "CX", "axes 'CX'"),
        ("x.tif", "QYX", "axes 'QYX'"),
        ("x.png", "ZYX", "which has 2 axes"),
        ("many.tif", None, "axes QQYX of shape"),
        ("x.gif", None, "a file that is no image"),
        ("", None, "a folder that is no image"),
        ("nowhere.tif", None, "no file .*nowhere.tif"),
    ],
)
def test_axes_and_files_that_do_not_fit(tmp_path, name, axes, found):
    save(tmp_path / "x.tif", NOISE)
    save(tmp_path / "many.tif", np.zeros((2, 3, 12, 16), np.uint8))
    Pillow.fromarray(NOISE).save(tmp_path / "x.png")
    (tmp_path / "x.gif").write_bytes(b"GIF")
    with pytest.raises(InputError, match=found):
        read_image(tmp_path / name, axes)


def giant_png(path):
    """A file that says it has 4 million pixels a side."""
    start = bytearray(imagecodecs.png_encode(NOISE))
    start[16:24] = (2**22).to_bytes(4, "big") * 2
    path.write_bytes(start)


def test_one_giant_image(good):
    giant_png(good / "images" / "c.png")
    with pytest.raises(InputError, match=r"17592.2 GB of pixels in .*c.png.*tiled TIFF"):
        read_image(good / "images" / "c.png")
    (good / "images" / "c.png").unlink()
    for folder in ("images", "labels"):
        path = good / folder / "c.zarr"
        zarr.create_array(path, shape=(2**22, 2**22), dtype="u1", chunks=(64, 64))
    with pytest.raises(InputError, match=r"17592.2 GB of pixels in c.zarr.*smaller images"):
        read_all(good)


def test_a_transparent_grey_value_counts_as_transparency(tmp_path):
    Pillow.fromarray(NOISE).save(tmp_path / "x.png", transparency=3)
    with pytest.raises(InputError, match="transparency"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "axes", "found"),
    [
        ("x.bmp", (4, 5), "uint8", "YX", "an output of an unknown type"),
        ("x.png", (4, 5), "float32", "YX", "8 or 16 bit"),
        ("x.png", (2, 4, 5), "uint8", "CYX", "one plane"),
        ("x.png", (4, 5, 4), "uint8", "YXC", "4 channels"),
        ("x.tif", (4, 5), "int64", "YX", "pixels of type int64"),
        ("x.tif", (4, 5), "complex64", "YX", "pixels of type complex64"),
        ("x.tif", (4, 5), "uint8", "ZYX", "axes 'ZYX' for the array to write"),
        ("nowhere/x.tif", (4, 5), "uint8", "YX", "no folder .*nowhere to write to"),
        ("nowhere/x.png", (4, 5), "uint8", "YX", "no folder .*nowhere to write to"),
    ],
)
def test_images_that_cannot_be_written(tmp_path, name, shape, dtype, axes, found):
    with pytest.raises(InputError, match=found):
        write_image(tmp_path / name, np.zeros(shape, dtype), axes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["imagesTr/c1.tif", "labelsTr/c1.tif"], "a file without a channel number"),
        (["imagesTr/c1_0000.tif", "labelsTr/c2.tif"], "a label with no image: .*c2.tif"),
    ],
)
def test_nnunet_folders(make, tmp_path, files, found):
    for name in files:
        make.image(name)
    with pytest.raises(InputError, match=found):
        find_dataset([tmp_path])


def test_nnunet_with_strange_labels(make, tmp_path):
    make.image("imagesTr/c1_0000.tif")
    make.labels("labelsTr/c1.tif")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"whole": [1, 2]}}))
    with pytest.raises(InputError, match="without plain labels"):
        find_dataset([tmp_path])


def test_nnunet_channels_of_different_sizes(make, tmp_path):
    make.image("imagesTr/c1_0000.tif")
    make.image("imagesTr/c1_0001.tif", (5, 5))
    make.labels("labelsTr/c1.tif")
    with pytest.raises(InputError, match="channel files of different sizes"):
        find_dataset([tmp_path])
