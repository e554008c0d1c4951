"""Real processes, killed at random moments; the results are those of a job that was let be."""

import multiprocessing
import shutil
import time

import numpy as np
import pytest

from biounet.config import PredictionSettings
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.prediction.jobs.options import parse_save

OPTIONS = PredictionSettings(
    save=parse_save("labels,probabilities,table"),
    engine="torch",
    precision="float32",
    tile=76,
    memory_bytes=80 * 80 * 28,
    block_px=32,
)


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported the package already; each is killed as any other."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biounet.prediction.jobs.files", "zarr", "skimage.measure"])
    return context


@pytest.fixture
def inputs(tmp_path, blobs):
    """One image in blocks from a TIFF, one from a zarr, one that fits memory."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "a.tif", blobs(0, 190, 150), "YX")
    write_image(folder / "b.ome.zarr", np.stack([blobs(k, 90, 80) for k in (1, 2)]), "TYX")
    write_image(folder / "c.tif", blobs(3, 70, 70), "YX")
    return folder


CHILD = """
import resource
import torch
from biounet.errors import InputError
from biounet.prediction.jobs.files import predict_files
torch.set_num_threads(1)
if largest_file is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
try:
    failed = predict_files(model_path, [inputs], out, options).failed
except InputError as error:
    failed = [error]
print(failed)
raise SystemExit(1 if failed else 0)
"""
"""As text, because the processes cannot import this file."""


def start(processes, model_path, inputs, out, largest_file=None):
    names = {
        "model_path": model_path,
        "inputs": inputs,
        "out": out,
        "options": OPTIONS,
        "largest_file": largest_file,
    }
    process = processes.Process(target=exec, args=(CHILD, names))
    process.start()
    return process


def contents(out):
    """Every output, as pixels or bytes; the ledger's lines come in any order."""
    found = {}
    for path in sorted(out.iterdir()):
        if path.name == "prediction.jsonl" or path.name.startswith("."):
            continue
        is_image = path.suffix in (".tif", ".zarr")
        found[path.name] = np.asarray(read_image(path).data) if is_image else path.read_bytes()
    return found


def assert_finished(out, expected):
    """The same outputs, bit by bit, and nothing else."""
    found = contents(out)
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def computed_blocks(out):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in out.glob(".*-work/computed/*.npz")
        if not any(name.startswith(".tmp") for name in (path.name, path.parents[1].name))
    }


def kill_until_done(processes, model_path, inputs, out, rng, longest_s, n_wanted):
    """Kill each process after a random time; the last, after enough kills, may end."""
    n_kills, before = 0, {}
    while True:
        process = start(processes, model_path, inputs, out)
        process.join(None if n_kills >= n_wanted else rng.uniform(0, longest_s))
        if process.exitcode is None:
            process.kill()
            process.join()
            n_kills += 1
        now = computed_blocks(out) if out.exists() else {}
        for path in before.keys() & now.keys():
            assert now[path] == before[path], "a finished block was computed again"
        for path in before.keys() - now.keys():  # gone with its folder, when the image was done
            assert not path.parent.parent.exists()
        before = now
        if process.exitcode >= 0:
            assert process.exitcode == 0
            return n_kills


def undisturbed(processes, model_path, inputs, out):
    began = time.monotonic()
    process = start(processes, model_path, inputs, out)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - began


MANY = pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.mark.parametrize("n_kills", [4, MANY])
def test_killed_at_random_moments(processes, model_path, inputs, tmp_path, n_kills):
    rng = np.random.default_rng(n_kills)
    seconds = undisturbed(processes, model_path, inputs, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    assert expected["a_labels.tif"].max() > 30
    total = 0
    while total < n_kills:
        out = tmp_path / f"killed-{total}"
        total += kill_until_done(processes, model_path, inputs, out, rng, seconds, n_kills)
        assert_finished(out, expected)
        shutil.rmtree(out)


def test_a_full_disk_and_space_again(processes, model_path, inputs, tmp_path):
    """The system refuses files beyond a size: at each limit the job stops further on."""
    image = inputs / "a.tif"
    undisturbed(processes, model_path, image, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    out = tmp_path / "full"
    for limit in (100, 2_000, 10_000, 60_000):
        process = start(processes, model_path, image, out, limit)
        process.join()
        assert process.exitcode == 1
        for name, content in (contents(out) if out.exists() else {}).items():
            np.testing.assert_array_equal(content, expected[name], err_msg=name)
    undisturbed(processes, model_path, image, out)
    assert_finished(out, expected)
