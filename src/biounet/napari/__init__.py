"""The napari plugin: segment a layer, train from a layer of labels, open results.

`napari.yaml` says what there is; `work.py` does it, without a window; `widgets.py` shows it.
"""
