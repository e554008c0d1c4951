"""The file formats: TIFF, OME-Zarr, and the pictures that Pillow reads."""
