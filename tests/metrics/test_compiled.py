"""Numba stays away until a loop runs, and a read-only installation works."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

from biounet import errors, metrics
from biounet.metrics.thinning import flood

RUN = "import numpy, biounet.metrics.thinning as t; print(t.thin(numpy.eye(3, dtype=bool)).max())"


def test_importing_the_metrics_imports_neither_numba_nor_torch() -> None:
    code = "import sys, biounet.metrics; print({'numba', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_runs_where_no_folder_can_be_written_to(tmp_path: Path) -> None:
    """A file where the cache's folder should be keeps even the superuser from making it."""
    package = tmp_path / "biounet"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(errors.__file__), package)
    shutil.copytree(
        Path(metrics.__file__).parent,
        package / "metrics",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (package / "metrics/__pycache__").touch()
    (tmp_path / "home").touch()
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home"),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout.strip() == "3", done.stderr


def test_the_plain_loop_is_at_hand() -> None:
    assert inspect.unwrap(flood) is not flood
    assert inspect.unwrap(flood).__name__ == "flood"
