"""Several processes, and a real Dask scheduler with real workers; some of them die."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from biounet.config import PredictionSettings
from biounet.errors import InputError, OutputError
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.prediction.jobs.files import predict_files
from biounet.prediction.jobs.options import parse_save
from biounet.prediction.jobs.workers import _interrupted_later, open_crew

pytest.importorskip("distributed")

OPTIONS = PredictionSettings(
    save=parse_save("labels,probabilities"),
    engine="torch",
    precision="float32",
    tile=76,
    memory_bytes=80 * 80 * 28,
    block_px=32,
    objects={"threshold": 0.5},  # not the model's own
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, blobs):
    folder = tmp_path_factory.mktemp("in")
    write_image(folder / "a.tif", blobs(0, 300, 300), "YX")
    for k in range(3):
        write_image(folder / f"s{k}.tif", blobs(k, 60, 60), "YX")
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory, model_path, inputs):
    """The results of one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    assert not predict_files(model_path, [inputs], out, OPTIONS).failed
    return out


def assert_same(a, b):
    images = sorted(path.name for path in a.glob("*.tif"))
    assert len(images) == 8
    for name in images:
        one, other = (np.asarray(read_image(folder / name).data) for folder in (a, b))
        if "labels" in name:
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, atol=2e-5)


class KillOnce:
    """Kills a worker when a part of the large image is done."""

    def __init__(self, find):
        self.find, self.killed = find, None

    def __call__(self, done, *_):
        if self.killed is None and done > 3.2:
            self.killed = self.find()
            os.kill(self.killed, signal.SIGKILL)


def a_pool_process():
    children = psutil.Process().children(recursive=True)
    return max(c.pid for c in children if "forkserver" in " ".join(c.cmdline()))


def test_processes_and_one_that_dies(tmp_path, model_path, inputs, alone):
    kill = KillOnce(a_pool_process)
    options = OPTIONS.model_copy(update={"workers": 2})
    assert not predict_files(model_path, [inputs], tmp_path / "out", options, kill).failed
    assert kill.killed is not None
    assert_same(alone, tmp_path / "out")


def test_workers_end_with_a_killed_process_and_another_goes_on(tmp_path, model_path, inputs, alone):
    two = OPTIONS.model_copy(update={"workers": 2})
    code = (
        "from pathlib import Path; from biounet.prediction.jobs.files import predict_files\n"
        "from biounet.config import PredictionSettings\n"
        f"predict_files(Path({str(model_path)!r}), [Path({str(inputs)!r})], "
        f"Path({str(tmp_path / 'out')!r}), {two!r})\n"
    )
    main = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "2"}
    )
    computed = tmp_path / "out" / ".a.tif-work" / "computed"
    while not (computed.is_dir() and len(list(computed.iterdir())) > 2):
        assert main.poll() is None
        time.sleep(0.02)
    children = psutil.Process(main.pid).children(recursive=True)
    main.kill()
    main.wait()
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    options = OPTIONS.model_copy(update={"workers": 1})
    assert not predict_files(model_path, [inputs], tmp_path / "out", options).failed
    assert_same(alone, tmp_path / "out")


def test_processes_that_always_die():
    with (
        open_crew(OPTIONS.model_copy(update={"workers": 2})) as crew,
        pytest.raises(InputError, match="workers that die again and again"),
    ):
        list(crew.run(os._exit, [1, 1, 1]))


def test_no_workers():
    with (
        pytest.raises(InputError, match="0 workers"),
        open_crew(OPTIONS.model_copy(update={"workers": 0})),
    ):
        pass


def fail(k):
    if k == 2:
        raise OutputError("a", "b", "c")
    return k * k


def test_a_crew_does_every_task_and_tells_errors():
    with open_crew(OPTIONS) as crew:
        finished = {f.item: (f.result, f.error) for f in crew.run(fail, range(20))}
    assert len(finished) == 20
    assert isinstance(finished[2][1], OutputError)
    assert all(finished[k] == (k * k, None) for k in range(20) if k != 2)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and workers that can be started and killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = []

    def start(*command):
        log = (tmp_path / f"log-{len(processes)}.txt").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
        log.close()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def start_cluster(cluster, n_workers, *words):
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = cluster(
        "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"
    )
    workers = [
        cluster("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *words)
        for _ in range(n_workers)
    ]
    return address, scheduler, workers


def test_a_cluster_and_a_worker_that_dies(tmp_path, model_path, inputs, alone, cluster):
    address, _, workers = start_cluster(cluster, 2)
    kill = KillOnce(lambda: workers[0].pid)
    options = OPTIONS.model_copy(update={"scheduler": address})
    outcome = predict_files(model_path, [inputs], tmp_path / "out", options, kill)
    assert not outcome.failed
    assert kill.killed is not None
    assert_same(alone, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_scheduler_that_goes_away(
    tmp_path, model_path, inputs, alone, cluster, caplog, monkeypatch
):
    address, scheduler, _ = start_cluster(cluster, 1)
    kill = KillOnce(lambda: scheduler.pid)
    log = logging.getLogger("distributed.client")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    options = OPTIONS.model_copy(update={"scheduler": address})
    started = time.monotonic()
    try:
        failed = predict_files(model_path, [inputs], tmp_path / "out", options, kill).failed
        message = failed[0][1]
    except InputError as error:
        message = str(error)
    assert "a scheduler that has gone away" in message
    told = [record for record in caplog.records if record.name == log.name]
    assert not told  # Dask's own words about it are a traceback
    assert time.monotonic() - started < 240  # Dask itself gives up within a minute, on a free core
    assert not predict_files(model_path, [inputs], tmp_path / "out", OPTIONS).failed
    assert_same(alone, tmp_path / "out")


PRETEND = """
import importlib.metadata as metadata
there = metadata.version
def version(name):
    if name != "biounet":
        return there(name)
    {}
metadata.version = version
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("return '0.0.1'", r"found biounet 0\.0\.1 on tcp.*; wanted .* as here"),
        ("raise metadata.PackageNotFoundError", "found no biounet on tcp"),
    ],
)
def test_a_worker_of_another_version_or_without_biounet(
    tmp_path, model_path, inputs, cluster, line, told
):
    (tmp_path / "preload.py").write_text(PRETEND.format(line))
    address, *_ = start_cluster(cluster, 1, "--preload", str(tmp_path / "preload.py"))
    options = OPTIONS.model_copy(update={"scheduler": address})
    with pytest.raises(InputError, match=told):
        predict_files(model_path, [inputs], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_no_scheduler_there(tmp_path, model_path, inputs, monkeypatch):
    monkeypatch.setattr("biounet.prediction.jobs.workers.CONNECT_S", 1)
    options = OPTIONS.model_copy(update={"scheduler": f"tcp://127.0.0.1:{free_port()}"})
    with pytest.raises(InputError, match="no scheduler at tcp"):
        predict_files(model_path, [inputs], tmp_path / "out", options)


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "http://127.0.0.1:8786"])
def test_what_is_no_address_is_told_at_once(tmp_path, model_path, inputs, monkeypatch, address):
    monkeypatch.setattr("distributed.Client", None)
    options = OPTIONS.model_copy(update={"scheduler": address})
    with pytest.raises(InputError, match=f"no scheduler at {address} .*wanted the address of"):
        predict_files(model_path, [inputs], tmp_path / "out", options)


def test_ctrl_c_waits_while_a_worker_starts():
    done = False
    with pytest.raises(KeyboardInterrupt), _interrupted_later():
        os.kill(os.getpid(), signal.SIGINT)
        done = True
    assert done
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
