"""Images in blocks: the same files as in memory, from any blocks, on any number of workers."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from biounet.config import IntensitySettings, ObjectSettings, PredictionSettings
from biounet.errors import InputError
from biounet.images.formats.ome_zarr_writing import create_ome_zarr
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.model import write_model
from biounet.prediction.jobs.blocks import BlockGrid, enlarged, plan_blocks
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.options import parse_save
from biounet.prediction.jobs.recipe import read_recipe, ready_predictor

WHOLE = PredictionSettings(engine="torch", precision="float32", tile=76)
IN_BLOCKS = WHOLE.model_copy(update={"memory_bytes": 0, "block_px": 32})


def pixels(path):
    return np.asarray(read_image(path).data)


def assert_same_outputs(a, b):
    """Two folders hold the same results: labels equal, probabilities up to rounding."""
    names = {p.name for p in a.iterdir()} - {"prediction.jsonl"}
    assert names == {p.name for p in b.iterdir()} - {"prediction.jsonl"}
    for name in sorted(names):
        if "_labels" in name:
            one, other = read_image(a / name), read_image(b / name)
            np.testing.assert_array_equal(one.data, other.data)
            assert (one.axes, one.pixel_size_um) == (other.axes, other.pixel_size_um)
            assert np.max(one.data) > 0
        elif "_probabilities" in name:
            one, other = read_image(a / name), read_image(b / name)
            order = [one.axes.index(axis) for axis in other.axes]  # ImageJ's is ZCYX
            np.testing.assert_allclose(np.transpose(one.data, order), other.data, atol=2e-5)
            assert one.channel_names == other.channel_names
        elif name.endswith(("csv", "geojson")):
            lines = [
                sorted(line.rstrip(",") for line in (f / name).read_text().splitlines())
                for f in (a, b)
            ]
            assert lines[0] == lines[1]
        elif name.endswith(".zip"):
            with zipfile.ZipFile(a / name) as one, zipfile.ZipFile(b / name) as other:
                assert {n: one.read(n) for n in one.namelist()} == {
                    n: other.read(n) for n in other.namelist()
                }
        elif name.endswith("_RES"):
            for file in (a / name).iterdir():
                assert file.read_bytes() == (b / name / file.name).read_bytes()


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_blocks_give_the_files_of_the_whole(tmp_path, model_path, blobs, suffix):
    image = np.stack([blobs(k, 150, 110) for k in range(2)])
    path = tmp_path / f"a{suffix}"
    write_image(path, image, "TYX", (0.5, 0.5))
    save = parse_save("labels,probabilities,rois,geojson,table,ctc")
    for out, options in (("whole", WHOLE), ("blocks", IN_BLOCKS)):
        outcome = predict_files(
            model_path, [path], tmp_path / out, options.model_copy(update={"save": save})
        )
        assert not outcome.failed
    assert_same_outputs(tmp_path / "whole", tmp_path / "blocks")


def test_blocks_of_a_volume(tmp_path, small_model, blobs):
    write_model(small_model(dimensions=3), tmp_path / "m.safetensors")
    write_image(tmp_path / "v.tif", blobs(0, 14, 44, 40), "ZYX", (2.0, 0.5, 0.5))
    save = parse_save("labels,probabilities,rois,geojson,table")
    whole = WHOLE.model_copy(update={"tile": 28, "save": save})
    blocked = whole.model_copy(update={"memory_bytes": 0, "block_px": 16})
    for out, options in (("whole", whole), ("blocks", blocked)):
        outcome = predict_files(
            tmp_path / "m.safetensors", [tmp_path / "v.tif"], tmp_path / out, options
        )
        assert not outcome.failed
    assert_same_outputs(tmp_path / "whole", tmp_path / "blocks")


@pytest.mark.parametrize("average", ["d4", "rotations:3"])
def test_blocks_of_an_averaged_prediction(tmp_path, model_path, blobs, average):
    write_image(tmp_path / "a.tif", blobs(5, 90, 110), "YX")
    for out, options in (("whole", WHOLE), ("blocks", IN_BLOCKS)):
        chosen = options.model_copy(update={"average": average, "save": ("probabilities",)})
        assert not predict_files(model_path, [tmp_path / "a.tif"], tmp_path / out, chosen).failed
    assert_same_outputs(tmp_path / "whole", tmp_path / "blocks")


def test_output_is_an_image_pyramid_with_its_pixel_size(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.ome.zarr", blobs(0, 600, 300), "YX", (0.25, 0.25))
    options = WHOLE.model_copy(update={"memory_bytes": 0, "save": ("labels", "probabilities")})
    predict_files(model_path, [tmp_path / "a.ome.zarr"], tmp_path / "out", options)
    for kind in ("labels", "probabilities"):
        group = zarr.open_group(tmp_path / "out" / f"a_{kind}.ome.zarr", mode="r")
        scales = [
            dataset["coordinateTransformations"][0]["scale"][-2:]
            for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]
        ]
        assert scales == [[0.25, 0.25], [0.5, 0.5], [1.0, 1.0]]
        levels = [np.asarray(group[str(k)]) for k in range(3)]
        assert [level.shape[-2:] for level in levels] == [(600, 300), (300, 150), (150, 75)]
        assert all(level.any() for level in levels)
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "out" / "a_labels.ome.zarr" / "1")[:],
        zarr.open_array(tmp_path / "out" / "a_labels.ome.zarr" / "0")[::2, ::2],
    )


def test_output_of_a_large_tiff_is_tiled(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 150, 110), "YX", (0.25, 0.25))
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", IN_BLOCKS)
    with tifffile.TiffFile(tmp_path / "out" / "a_labels.tif") as tiff:
        assert tiff.pages[0].is_tiled
        assert tiff.is_ome


def test_a_block_is_one_shard_on_a_gpu():
    cpu = plan_blocks((5000, 3000), (512, 512), 1, None)
    assert (cpu.chunk, cpu.block, cpu.n_blocks) == ((512, 512), (512, 512), (10, 6))
    gpu = plan_blocks((5000, 1000), (512, 512), 4, None)
    assert (gpu.chunk, gpu.block, gpu.n_blocks) == ((512, 512), (2048, 1024), (3, 1))
    small = plan_blocks((5000, 3000), (16, 16), 1, None)
    assert small.chunk == (256, 256)


def test_blocks_for_a_cluster_grow_while_there_are_enough():
    grid = BlockGrid((5120, 5120), (512, 512), (512, 512))
    assert enlarged(grid, 9).block == (2048, 2048)
    assert enlarged(grid, 10).block == (1536, 1536)
    assert enlarged(grid, 25).block == (1024, 1024)
    assert enlarged(grid, 26) == grid


def test_blocks_of_several_chunks_are_shards(tmp_path, model_path, blobs, monkeypatch):
    monkeypatch.setattr("biounet.prediction.jobs.job.CHUNKS_PER_BLOCK", {"cpu": 2})
    write_image(tmp_path / "a.ome.zarr", blobs(0, 300, 150), "YX")
    chosen = IN_BLOCKS.model_copy(update={"save": ("labels", "probabilities")})
    predict_files(model_path, [tmp_path / "a.ome.zarr"], tmp_path / "out", chosen)
    array = zarr.open_array(tmp_path / "out" / "a_probabilities.ome.zarr" / "0")
    assert array.shards == (2, *(2 * n for n in array.chunks[1:]))
    whole = WHOLE.model_copy(update={"save": ("labels", "probabilities")})
    predict_files(model_path, [tmp_path / "a.ome.zarr"], tmp_path / "whole", whole)
    assert_same_outputs(tmp_path / "out", tmp_path / "whole")


def test_classes_need_no_merging_but_their_objects_do(tmp_path, small_model, blobs):
    model = small_model(objects=ObjectSettings(method="classes"))
    write_model(model, tmp_path / "m.safetensors")
    write_image(tmp_path / "a.tif", blobs(0, 150, 110), "YX")
    for out, options in (("whole", WHOLE), ("blocks", IN_BLOCKS)):
        predict_files(tmp_path / "m.safetensors", [tmp_path / "a.tif"], tmp_path / out, options)
    assert_same_outputs(tmp_path / "whole", tmp_path / "blocks")
    rois = IN_BLOCKS.model_copy(update={"save": ("rois",)})
    outcome = predict_files(
        tmp_path / "m.safetensors", [tmp_path / "a.tif"], tmp_path / "blocks", rois
    )
    assert "--save rois" in outcome.failed[0][1]


def test_a_chunk_is_not_longer_than_the_image_needs():
    assert plan_blocks((10, 30, 700), (20, 20, 20), 1, 700).chunk == (20, 40, 700)


def test_a_huge_sparse_image_is_read_only_where_it_is_computed(tmp_path, small_model):
    """100,000 x 100,000 px: with the model's statistics the first block needs no other."""
    model = small_model()
    settings = model.settings.model_copy(
        update={"intensity": IntensitySettings(source="training-set")}
    )
    write_model(replace(model, settings=settings), tmp_path / "m.safetensors")
    create_ome_zarr(
        tmp_path / "a.ome.zarr", (100_000, 100_000), np.uint8, "YX", chunks=(1024, 1024)
    )

    class EnoughError(Exception):
        pass

    def on_progress(done, *_):
        if done > 0:
            raise EnoughError

    with pytest.raises(EnoughError):
        predict_files(
            tmp_path / "m.safetensors",
            [tmp_path / "a.ome.zarr"],
            tmp_path / "out",
            WHOLE.model_copy(update={"tile": None}),
            on_progress,
        )
    manifest = json.loads((tmp_path / "out" / ".a.ome.zarr-work" / "job.json").read_text())
    assert manifest["grid"]["shape"] == [100_000, 100_000]


def test_reading_a_model_loads_no_compiler(model_path):
    """Its import takes a second, and the first block waits for it."""
    code = (
        "import sys; from pathlib import Path; from biounet.model import read_model\n"
        f"read_model(Path({str(model_path)!r})); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unfinished_work_that_keeps_less_is_refused(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 150, 110), "YX")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", IN_BLOCKS, stop)
    both = IN_BLOCKS.model_copy(update={"save": ("labels", "probabilities")})
    outcome = predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", both)
    assert "unfinished work on a.tif that keeps labels" in outcome.failed[0][1]


@pytest.mark.parametrize("shape", [(150, 110), (90, 190)])
def test_an_image_that_changed_while_python_runs(tmp_path, model_path, blobs, shape):
    path = tmp_path / "a.tif"
    for k, size in enumerate([(150, 110), shape]):
        write_image(path, blobs(k, *size), "YX")
        assert not predict_files(model_path, [path], tmp_path / "out", IN_BLOCKS).failed
    predict_files(model_path, [path], tmp_path / "whole", WHOLE)
    assert_same_outputs(tmp_path / "whole", tmp_path / "out")


def test_an_image_that_was_moved_while_its_work_lay(tmp_path, model_path, blobs):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.ome.zarr", blobs(0, 300, 250), "YX")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(
            model_path, [tmp_path / "in" / "a.ome.zarr"], tmp_path / "out", IN_BLOCKS, stop
        )
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    moved = [tmp_path / "elsewhere" / "a.ome.zarr"]
    assert not predict_files(model_path, moved, tmp_path / "out", IN_BLOCKS).failed
    predict_files(model_path, moved, tmp_path / "whole", IN_BLOCKS)
    assert_same_outputs(tmp_path / "out", tmp_path / "whole")


def test_killed_while_it_clears_up(tmp_path, model_path, blobs, monkeypatch):
    """What is left of the work must not be taken for work to go on with."""
    write_image(tmp_path / "a.tif", blobs(0, 90, 80), "YX")
    more = IN_BLOCKS.model_copy(update={"save": ("labels", "table")})
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "whole", more)
    remove = shutil.rmtree

    def killed(folder, **words):
        if (folder / "labels.ome.zarr").exists() and (folder / "computed").exists():
            remove(folder / "labels.ome.zarr" / "0" / "c")
            raise KeyboardInterrupt
        remove(folder, **words)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("shutil.rmtree", killed)
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", IN_BLOCKS)
    assert (tmp_path / "out" / "a_labels.tif").exists()
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", more)
    assert_same_outputs(tmp_path / "whole", tmp_path / "out")


def test_stopped_after_any_folder_got_its_name(tmp_path, model_path, blobs, monkeypatch):
    write_image(tmp_path / "a.ome.zarr", blobs(0, 90, 80), "YX")
    inputs = [tmp_path / "a.ome.zarr"]
    predict_files(model_path, inputs, tmp_path / "whole", IN_BLOCKS)
    rename, replace_file = Path.rename, os.replace
    n_names, n_stopped = 0, 0

    def after(do, source, target):
        nonlocal n_names
        is_folder = Path(source).is_dir()
        result = do(source, target)
        n_names += is_folder
        if is_folder and n_names == n_stopped + 1:
            raise KeyboardInterrupt
        return result

    while True:
        out, n_names = tmp_path / f"out-{n_stopped}", 0
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", lambda *names: after(rename, *names))
            patched.setattr(os, "replace", lambda *names: after(replace_file, *names))
            try:
                predict_files(model_path, inputs, out, IN_BLOCKS)
            except KeyboardInterrupt:
                n_stopped += 1
            else:
                break
        predict_files(model_path, inputs, out, IN_BLOCKS)
        assert_same_outputs(tmp_path / "whole", out)
    assert n_stopped >= 5  # the work, what is merged, the labels, their name, the work's end


def test_a_corrupt_page_in_the_middle_is_told(tmp_path, model_path, blobs):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.stack([blobs(k, 90, 80) for k in range(4)]),
        compression="zlib",
        photometric="minisblack",
    )
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[2].dataoffsets[0], tiff.pages[2].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
    for options in (WHOLE, IN_BLOCKS):
        outcome = predict_files(model_path, [path], tmp_path / "out", options)
        assert "a.tif" in outcome.failed[0][1]
    assert not list((tmp_path).glob("out/*labels*"))


def test_missing_chunks_are_told_and_damaged_ones_refused(tmp_path, model_path, blobs):
    path = tmp_path / "a.ome.zarr"
    array = create_ome_zarr(path, (128, 128), np.uint8, "YX", chunks=(64, 64))
    array[:] = blobs(0, 128, 128) | 1
    options = IN_BLOCKS.model_copy(update={"save": ("probabilities",)})
    assert predict_files(model_path, [path], tmp_path / "all", options).notes == ()
    chunks = sorted(p for p in (path / "0").rglob("*") if p.is_file() and p.name != "zarr.json")
    assert len(chunks) == 4
    chunks[0].unlink()
    (note,) = predict_files(model_path, [path], tmp_path / "missing", options).notes
    assert note.startswith("1 of 4 chunks of ")
    chunks[1].write_bytes(b"nonsense")
    ((failed, error),) = predict_files(model_path, [path], tmp_path / "bad", options).failed
    assert failed == path.resolve()
    assert "damaged pixels" in error
    for chunk in chunks[1:]:
        chunk.unlink()
    (note,) = predict_files(model_path, [path], tmp_path / "none", options).notes
    assert note.startswith("4 of 4 chunks of ")


def test_a_worker_of_another_version_is_told(tmp_path, model_path, blobs):
    write_image(tmp_path / "a.tif", blobs(0, 90, 80), "YX")
    predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", WHOLE)
    recipe = read_recipe(tmp_path / "out")
    with pytest.raises(InputError, match=r"biounet .* in a worker; wanted 0\.0\.1"):
        ready_predictor(model_path, replace(recipe, version="0.0.1"))
    with pytest.raises(InputError, match="another model at"):
        ready_predictor(model_path, replace(recipe, model="0" * 64))
    path = tmp_path / "out" / "prediction.json"
    path.write_text(path.read_text().replace(recipe.version, "0.0.1"))
    with pytest.raises(InputError, match=r"results with version 0\.0\.1"):
        predict_files(model_path, [tmp_path / "a.tif"], tmp_path / "out", WHOLE)
