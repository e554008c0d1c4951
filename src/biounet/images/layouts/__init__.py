"""Folder layouts to a data set: found by looking, one file a layout (`find.py` looks)."""
