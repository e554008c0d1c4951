"""Outlines, ROIs, GeoJSON and tables."""

import csv
import json

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from biounet.errors import InputError
from biounet.images.objects import Piece, write_geojson, write_rois, write_table
from biounet.images.outlines import trace_outlines


def filled(ring, shape):
    """The pixels whose centres lie inside a ring of corners, by crossings to the left."""
    inside = np.zeros(shape, bool)
    for (y0, x0), (y1, _) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y0 != y1:  # a vertical edge turns everything to its right over
            low, high = sorted((y0, y1))
            inside[low:high, x0:] ^= True
    return inside


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_outlines_fill_to_the_same_pixels(seed, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < 0.6
    again = np.zeros(mask.shape, int)
    outlines = trace_outlines(mask)
    for outline in outlines:
        again += filled(outline.outer, mask.shape)
        for hole in outline.holes:
            again -= filled(hole, mask.shape)
        for ring in (outline.outer, *outline.holes):
            steps = np.abs(np.roll(ring, -1, axis=0) - ring)
            assert ((steps > 0).sum(axis=1) == 1).all()  # corners only, turns everywhere
            turns = np.roll(steps, -1, axis=0)
            assert ((steps[:, 0] > 0) != (turns[:, 0] > 0)).all()
    np.testing.assert_array_equal(again, mask)
    assert len(outlines) == ndimage.label(mask)[1]


LABELS = np.array(
    [
        [0, 7, 7, 7, 0, 0],
        [0, 7, 0, 7, 0, 3],
        [0, 7, 7, 7, 0, 3],
        [0, 0, 0, 0, 0, 0],
    ],
    np.uint16,
)


def test_geojson_has_holes_positions_and_planes(tmp_path):
    piece = Piece(LABELS, (10, 100), {"T": 2}, np.array([3, 7]))
    write_geojson(tmp_path / "a.geojson", [piece])
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in features] == ["3", "7"]
    assert [f["geometry"]["plane"]["t"] for f in features] == [2, 2]
    small, ring = (f["geometry"]["coordinates"] for f in features)
    assert sorted(small[0][:-1]) == [[105, 11], [105, 13], [106, 11], [106, 13]]
    assert small[0][0] == small[0][-1]
    assert len(ring) == 2
    assert sorted(ring[1][:-1]) == [[102, 11], [102, 12], [103, 11], [103, 12]]


def test_only_the_objects_asked_for(tmp_path):
    write_geojson(tmp_path / "a.geojson", [Piece(LABELS, (0, 0), {}, np.array([7]))])
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in features] == ["7"]


def test_rois_are_read_back_in_their_places(tmp_path):
    parts = LABELS.copy()
    parts[3, 5] = 7  # a second part of object 7
    write_rois(tmp_path / "a.zip", [Piece(parts, (10, 100), {"T": 1})])
    rois = {roi.name: roi for roi in roifile.roiread(tmp_path / "a.zip")}
    assert set(rois) == {"t0002-00003", "t0002-00007", "t0002-00007-part2"}
    corners = rois["t0002-00003"].coordinates().tolist()
    assert sorted(corners) == [[105, 11], [105, 13], [106, 11], [106, 13]]


def test_rois_beyond_what_imagej_keeps_are_refused(tmp_path):
    with pytest.raises(InputError, match="at most 32767 px in ROIs of ImageJ"):
        write_rois(tmp_path / "a.zip", [Piece(LABELS, (0, 40_000), {})])
    assert not list(tmp_path.iterdir())


def test_a_table_in_micrometres_and_one_in_pixels(tmp_path):
    grey = np.arange(LABELS.size, dtype=np.float32).reshape(1, *LABELS.shape)
    piece = Piece(LABELS, (10, 100), {}, None, grey)
    write_table(tmp_path / "um.csv", [piece], "YX", (0.5, 0.5))
    write_table(tmp_path / "px.csv", [piece], "YX", None)
    um, px = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("um.csv", "px.csv")
    )
    assert [row["label"] for row in um] == ["3", "7"]
    assert [float(row["area_um2"]) for row in um] == [0.5, 2.0]
    assert [float(row["area_px2"]) for row in px] == [2, 8]
    assert float(um[0]["centroid_y_um"]) == 11.5 * 0.5
    assert float(px[0]["centroid_x_px"]) == 105
    assert float(px[0]["mean_intensity_0"]) == (11 + 17) / 2
    box = [int(px[1][f"box_{axis}_{end}_px"]) for axis in "yx" for end in ("start", "stop")]
    assert box == [10, 13, 101, 104]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("DAPI", "GFP, 488 nm"), ["DAPI", "GFP, 488 nm"]),
        (("DAPI", "DAPI "), ["0", "1"]),
        (("DAPI", ""), ["0", "1"]),
        (("DAPI",), ["0", "1"]),
        (None, ["0", "1"]),
    ],
)
def test_intensities_are_named_after_their_channels(tmp_path, names, told):
    grey = np.stack([np.full(LABELS.shape, 3.0), np.full(LABELS.shape, 5.0)])
    write_table(tmp_path / "a.csv", [Piece(LABELS, (0, 0), {}, None, grey)], "YX", None, names)
    row = next(csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert [name for name in row if "intensity" in name] == [f"mean_intensity_{n}" for n in told]
    assert [float(row[f"mean_intensity_{name}"]) for name in told] == [3, 5]


def test_parquet_holds_what_the_table_holds(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    write_table(tmp_path / "a.csv", [Piece(LABELS, (10, 100), {})], "YX", (0.5, 0.5))
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == list(rows[0])
    for name in table.column_names:
        assert table[name].to_pylist() == [float(row[name]) for row in rows]


def test_a_table_has_its_name_once_its_parquet_has(tmp_path, monkeypatch):
    """The CSV says that the table is done: killed before the Parquet is there, it is done again."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "a.csv", [Piece(LABELS, (10, 100), {})], "YX", (0.5, 0.5))
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_a_volume_and_one_without_objects(tmp_path):
    volume = np.zeros((3, 4, 4), np.uint16)
    write_table(tmp_path / "none.csv", [Piece(volume, (0, 0, 0), {})], "ZYX", (2.0, 0.5, 0.5))
    volume[1:, 1:3, 1:3] = 1
    write_table(tmp_path / "one.csv", [Piece(volume, (0, 0, 0), {})], "ZYX", (2.0, 0.5, 0.5))
    none, one = ((tmp_path / f"{name}.csv").read_text().splitlines() for name in ("none", "one"))
    assert none == one[:1]
    row = dict(zip(one[0].split(","), one[1].split(","), strict=True))
    assert float(row["volume_um3"]) == 8 * 0.5
    assert float(row["centroid_z_um"]) == 3
