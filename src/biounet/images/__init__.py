"""Files to arrays and back, and folders to a data set."""

from biounet.images.arrays import dataset_from_arrays
from biounet.images.atomic import written_whole
from biounet.images.challenge import (
    frame_number,
    read_annotated,
    read_sequence,
    write_isbi2012,
    write_linked_result,
)
from biounet.images.dataset import Annotated, DataSet, Item, read_item
from biounet.images.formats.ome_zarr_writing import blocks, create_ome_zarr, write_pyramid
from biounet.images.image import Header, Image, as_image
from biounet.images.labels import LabelKind
from biounet.images.layouts.find import find_dataset
from biounet.images.public.download import Downloaded, download
from biounet.images.public.sets import PUBLIC_SETS
from biounet.images.reading import image_stem, image_suffix, read_header, read_image
from biounet.images.regions import Pixels, read_region
from biounet.images.statistics import IntensityStatistics, intensity_statistics
from biounet.images.writing import write_image

__all__ = [
    "PUBLIC_SETS",
    "Annotated",
    "DataSet",
    "Downloaded",
    "Header",
    "Image",
    "IntensityStatistics",
    "Item",
    "LabelKind",
    "Pixels",
    "as_image",
    "blocks",
    "create_ome_zarr",
    "dataset_from_arrays",
    "download",
    "find_dataset",
    "frame_number",
    "image_stem",
    "image_suffix",
    "intensity_statistics",
    "read_annotated",
    "read_header",
    "read_image",
    "read_item",
    "read_region",
    "read_sequence",
    "write_image",
    "write_isbi2012",
    "write_linked_result",
    "write_pyramid",
    "written_whole",
]
