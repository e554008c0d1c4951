"""The accuracy research (`benchmarks/accuracy.py`): its splits, a run of processes, its tables."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biounet.config import AugmentationSettings
from biounet.errors import InputError
from biounet.images.layouts.find import find_dataset
from biounet.images.reading import read_image
from biounet.images.writing import write_image
from biounet.simulate import simulate_cells

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accuracy_pages as pages  # noqa: E402
import accuracy_runs as runs  # noqa: E402
import accuracy_splits as splits  # noqa: E402


def names(items: tuple[Any, ...]) -> list[str]:
    return [item.name for item in items]


# Splits


@pytest.fixture(scope="module")
def hela(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequence 01 with the gold frames of the real set, markers for one cell more, silver truth."""
    folder = tmp_path_factory.mktemp("hela")
    rng = np.random.default_rng(0)
    gold = (2, 5, 21, 31, 33, 34, 39, 54, 67)
    for frame in sorted({*gold, 3, 22, 24, 30, 40}):
        image = rng.integers(0, 200, (40, 44), np.uint8)
        labels = np.zeros((40, 44), np.uint16)
        labels[2:12, 3:15], labels[20:30, 20:32] = 1, 2
        _write(folder / "01" / f"t{frame:03d}.tif", image)
        _write(folder / "01_ST" / "SEG" / f"man_seg{frame:03d}.tif", labels)
        markers = labels.copy()
        if frame == 5:
            markers[35:37, 35:37] = 3  # a cell that nobody outlined
        _write(folder / "01_GT" / "TRA" / f"man_track{frame:03d}.tif", markers)
        if frame in gold:
            _write(folder / "01_GT" / "SEG" / f"man_seg{frame:03d}.tif", labels)
    return folder


def _write(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, array, "YX")


def frames(items: tuple[Any, ...]) -> list[int]:
    return [int(item.name[-3:]) for item in items]


def test_frames_of_dic_hela(hela: Path) -> None:
    report = splits.plan_split("dic-hela", hela, "report", "gold")
    assert frames(report.training.items) == [2, 5, 21, 31]
    assert frames(report.scored) == [39, 54, 67]
    choose = splits.plan_split("dic-hela", hela, "choose", "gold")
    assert frames(choose.training.items) == [2, 5, 21]
    assert frames(choose.scored) == [31]
    silver = splits.plan_split("dic-hela", hela, "report", "gold+silver")
    assert frames(silver.training.items) == [2, 3, 5, 21, 22, 24, 30, 31]
    assert frames(silver.scored) == [39, 54, 67]
    assert len(splits.plan_split("dic-hela", hela, "all", "gold+silver").training.items) == 14
    chosen = splits.plan_split("dic-hela", hela, "choose", "gold+silver").training.items
    assert frames(chosen) == [2, 3, 5, 21]  # none of the neighbours of the frame that is scored


def test_written_images_are_found_again_with_what_nobody_annotated(
    hela: Path, tmp_path: Path
) -> None:
    split = splits.plan_split("dic-hela", hela, "report", "gold")
    splits.write_training(split, tmp_path / "train")
    labels = np.asarray(read_image(tmp_path / "train/labels/01_t005.tif").data)
    assert (labels == splits.UNKNOWN).any()
    assert not (labels[20:30, 20:32] == splits.UNKNOWN).any()
    again = find_dataset([tmp_path / "train"], labels_are="instances", ignore_value=splits.UNKNOWN)
    assert names(again.items) == ["01_t002", "01_t005", "01_t021", "01_t031"]
    splits.write_scored(split, tmp_path / "scored")
    assert names(find_dataset([tmp_path / "scored"]).items) == ["01/t039", "01/t054", "01/t067"]
    splits.write_scored(split, tmp_path / "scored")  # once is enough
    other = splits.plan_split("dic-hela", hela, "choose", "gold")
    with pytest.raises(InputError, match="other images in"):
        splits.write_scored(other, tmp_path / "scored")


def test_slices_and_nuclei(shared: Path) -> None:
    data = shared / "data" / "isbi2012"
    choose = splits.plan_split("isbi2012", data, "choose", "gold")
    report = splits.plan_split("isbi2012", data, "report", "gold")
    assert len(choose.training.items) == 16
    assert len(report.training.items) == 20
    assert len(report.scored) == 10
    assert choose.training.items + choose.scored == report.training.items
    nuclei = shared / "data" / "dsb2018_fluorescence"
    choose = splits.plan_split("nuclei", nuclei, "choose", "gold")
    report = splits.plan_split("nuclei", nuclei, "report", "gold")
    assert (len(choose.training.items), len(choose.scored)) == (30, 20)
    assert set(names(choose.training.items + choose.scored)) == set(names(report.training.items))
    assert not set(names(report.training.items)) & set(names(report.scored))


def test_fewer_images_are_among_more(hela: Path) -> None:
    split = splits.plan_split("dic-hela", hela, "report", "gold+silver")
    few = [set(names(splits.few_images(split, n, 3).training.items)) for n in (1, 2, 5)]
    assert [len(chosen) for chosen in few] == [1, 2, 5]
    assert few[0] < few[1] < few[2] <= set(names(split.training.items))
    assert len({frozenset(names(splits.few_images(split, 2, s).training.items))
                for s in range(9)}) > 1  # fmt: skip
    with pytest.raises(InputError, match="1 to 8"):
        splits.few_images(split, 9, 0)


# A run of processes


@pytest.fixture(scope="module")
def usiigaci(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usiigaci")
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        image, labels = simulate_cells("phase-contrast", (64, 72), rng)
        _write(folder / "images" / f"set{number:02d}.tif", image)
        _write(folder / "labels" / f"set{number:02d}.tif", labels.astype(np.uint16))
    return folder


ROWS = """
tiny:
  network: {width: 3, depth: 1}
  training: {patch_px: 32}
  run: {averages: [d4]}
no elastic, 8:
  network: {width: 3, depth: 1}
  training: {patch_px: 32}
  augmentation: {elastic_std_px: 0}
"""


def accuracy(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "accuracy.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_is_written_down_and_not_done_again(usiigaci: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(ROWS)
    out = tmp_path / "out"
    words = ("run", "usiigaci", "--data", usiigaci, "--out", out, "--steps", "2", "--commit", "c0")
    rows = ("--rows", tmp_path / "rows.yaml")
    done = accuracy(*words, *rows, "--only", "no elastic, 8", "--part", "report")
    assert (done.returncode, done.stderr) == (0, "")
    name = "usiigaci-report-no-elastic-8-2steps-seed0"
    (path,) = (out / "results").iterdir()
    assert path.name == f"{name}.json"
    result = json.loads(path.read_text())
    assert (result["commit"], result["seed"], result["steps"]) == ("c0", 0, 2)
    assert (result["n_training"], result["n_scored"]) == (4, 4)
    assert set(result["scores"]) == {"none", "d4"}
    # The scores are those of the process that is written down, and its paths no machine's.
    assert result["commands"][2].startswith(f"biounet evaluate runs/{name}/predicted-none/01_RES")
    evaluated = json.loads((out / f"runs/{name}/predicted-none.json").read_text())
    assert result["scores"]["none"] == {"seg": evaluated["seg"]}
    assert str(out) not in json.dumps(result)
    assert "elastic_std_px: 0" in (out / f"runs/{name}/run/settings.yaml").read_text()

    before = path.stat().st_mtime_ns
    assert accuracy(*words, *rows, "--only", "no elastic, 8", "--part", "report").returncode == 0
    assert path.stat().st_mtime_ns == before
    (tmp_path / "rows.yaml").write_text(ROWS.replace("elastic_std_px: 0", "elastic_std_px: 1"))
    again = accuracy(*words, *rows, "--only", "no elastic, 8", "--part", "report")
    assert again.returncode == 1
    assert "rename the row" in again.stderr


def test_runs_of_several_seeds_are_scored_as_one(usiigaci: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(ROWS)
    out = tmp_path / "out"
    words = (
        "run",
        "usiigaci",
        "--data",
        usiigaci,
        "--out",
        out,
        "--steps",
        "2",
        "--part",
        "report",
    )
    rows = ("--rows", tmp_path / "rows.yaml", "--seeds", "0,1", "--only", "tiny")
    assert accuracy(*words, *rows, "--commit", "c0").returncode == 0
    runs = [out / f"results/usiigaci-report-tiny-2steps-seed{seed}.json" for seed in (0, 1)]
    done = accuracy("ensemble", *runs, "--commit", "c1")
    assert (done.returncode, done.stderr) == (0, "")
    name = "usiigaci-report-tiny-2steps-ensemble-of-2"
    result = json.loads((out / f"results/{name}.json").read_text())
    assert (result["row"], result["commit"]) == ("tiny, 2 networks (seeds 0, 1)", "c1")
    assert (result["budget"], result["steps"]) == (["steps", 4], 4)
    kinds = [command.split()[1] for command in result["commands"]]
    assert kinds == ["train", "train", "ensemble", "predict", "evaluate"]
    evaluated = json.loads((out / f"runs/{name}/predicted-d4.json").read_text())
    assert result["scores"]["d4"] == {"seg": evaluated["seg"]}
    both = [json.loads(run.read_text()) for run in runs]
    spent = sum(one["minutes"]["training"] for one in both)
    assert result["minutes"]["training"] == pytest.approx(spent)

    other = out / "results/other.json"
    other.write_text(json.dumps(both[1] | {"row": "no elastic, 8"}))
    done = accuracy("ensemble", runs[0], other)
    assert "runs of different rows" in done.stderr


def test_a_row_that_fails_is_told_and_stops_no_other(usiigaci: Path, tmp_path: Path) -> None:
    bad = "bad:\n  run: {start_from: nothing-there}\n"
    (tmp_path / "rows.yaml").write_text(bad + ROWS)
    words = ("run", "usiigaci", "--data", usiigaci, "--out", tmp_path / "out", "--steps", "1")
    only = ("--only", "bad", "--only", "tiny", "--part", "all")
    done = accuracy(*words, "--rows", tmp_path / "rows.yaml", *only)
    assert done.returncode == 1
    assert "failed: train ended with 2" in done.stderr
    (path,) = (tmp_path / "out/results").iterdir()
    result = json.loads(path.read_text())
    assert (result["row"], result["n_training"], result["scores"]) == ("tiny", 8, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {training: {stepz: 3}}", "training.stepz"),
        ("a: {run: {truht: gold}}", "run.truht"),
        ("a: [", "a YAML file of rows"),
    ],
)
def test_a_wrong_row_is_told_before_anything_runs(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        runs.read_rows(tmp_path / "rows.yaml")


def test_the_rows_of_few_images() -> None:
    rows = {row.name: row for row in runs.read_rows(BENCHMARKS / "rows" / "few-images.yaml")}
    assert list(rows)[:2] == ["fast", "without elastic deformation"]
    assert rows["sliding window"].changes == {"network": {"kind": "sliding-window"}}
    off = rows["no augmentation"].changes["augmentation"]
    assert off.keys() == AugmentationSettings.model_fields.keys() - {"elastic_grid"}
    assert all(value in (0, "none") for value in off.values())


# Tables and pictures


def a_result(row: str, seed: int, v_rand: float, n_images: int | None = None) -> dict[str, Any]:
    scores = dict.fromkeys(("warping_error", "rand_error", "pixel_error", "v_info"), 0.25)
    return {
        "name": f"{row}-{n_images}-{seed}",
        "set": "isbi2012",
        "part": "report",
        "row": row,
        "changes": {},
        "budget": ["minutes", 20],
        "images": n_images,
        "seed": seed,
        "trained_on": "slices 0 to 19",
        "measured_on": "slices 20 to 29",
        "n_training": n_images or 20,
        "commands": [f"biounet train <{row}> --seed {seed}"],
        "commit": "abc1234",
        "machine": {"processor": "a CPU", "device": "cpu", "threads": 4},
        "minutes": {"training": 19.5},
        "steps": 1000 + seed,
        "scores": {"none": {**scores, "v_rand": v_rand}, "d4": {**scores, "v_rand": v_rand + 0.01}},
    }


RESULTS = [
    *(a_result("fast", seed, value) for seed, value in enumerate((0.90, 0.92, 0.94))),
    a_result("plain", 0, 0.5),
    a_result("fast", 0, 0.6, n_images=1),
    a_result("fast", 0, 0.7, n_images=5),
]


def test_the_table_by_hand() -> None:
    results = [{**r, "changes": {"seen": 1}} if r["row"] == "plain" else r for r in RESULTS]
    table = pages.table_of(results, "isbi2012 report base=fast").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[:6]]
    at = cells[0].index("V_Rand")
    assert [row[0] for row in cells[2:]] == [
        "fast, averaged over d4",
        "fast",
        "plain, averaged over d4",
        "plain",
    ]
    assert cells[3][at] == "0.9200 ± 0.0200"  # of 0.90, 0.92, 0.94, n - 1
    assert cells[5][at] == "0.5000"
    assert cells[5][cells[0].index("against fast")] == "-0.4200"
    assert cells[3][cells[0].index("seeds")] == "0, 1, 2"
    assert cells[3][cells[0].index("steps")] == "1,001"
    below = "\n".join(table[6:])
    assert "abc1234" in below
    assert "biounet train &lt;fast&gt; --seed 0" in below
    assert "Scored on slices 20 to 29" in below
    assert '# plain: {"seen": 1}' in below


def test_a_table_of_one_budget() -> None:
    longer = [{**result, "budget": ["minutes", 40], "row": "longer"} for result in RESULTS]
    table = pages.table_of(RESULTS + longer, "isbi2012 report budget=20min")
    assert "fast" in table
    assert "longer" not in table
    assert pages.of_budget(RESULTS + longer, "40min") == longer
    assert pages.of_budget(RESULTS + longer, None) == RESULTS + longer


def test_a_row_tells_averaging_and_the_method_of_objects() -> None:
    titles = [
        pages.Group("fast", "1 min", None, scored_as, ()).title
        for scored_as in ("none", "d4", "d4+agglomeration", "none+agglomeration")
    ]
    assert titles == [
        "fast",
        "fast, averaged over d4",
        "fast, averaged over d4, agglomeration",
        "fast, agglomeration",
    ]


def test_tables_are_filled_between_their_marks(tmp_path: Path) -> None:
    docs = tmp_path / "results.md"
    docs.write_text(
        "# A\n\n<!-- accuracy isbi2012 report -->\nold\n<!-- /accuracy -->\n\nkept\n\n"
        "<!-- accuracy isbi2012 report images=few -->\n<!-- /accuracy -->\n"
    )
    pages.fill_tables(RESULTS, docs)
    once = docs.read_text()
    assert "old" not in once
    assert "\n\nkept\n\n" in once
    assert once.count("averaged over d4") == 2 + 2
    pages.fill_tables(RESULTS, docs)
    assert docs.read_text() == once
    docs.write_text("<!-- accuracy nuclei report -->\n<!-- /accuracy -->\n")
    with pytest.raises(InputError, match="no result for 'nuclei report'"):
        pages.fill_tables(RESULTS, docs)
    docs.write_text("nothing")
    with pytest.raises(InputError, match="no place"):
        pages.fill_tables(RESULTS, docs)


@pytest.mark.parametrize("name", ["results.md", "research.md"])
def test_the_tables_of_the_docs_are_what_the_result_files_say(tmp_path: Path, name: str) -> None:
    page = BENCHMARKS.parent / "docs" / name
    copy = Path(shutil.copy(page, tmp_path))
    pages.fill_tables(pages.read_results(BENCHMARKS / "results" / "accuracy"), copy)
    assert copy.read_text() == page.read_text()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    nuclei = [{**result, "set": "nuclei"} for result in RESULTS]
    for result in nuclei:
        result["scores"] = {"none": {"ap50": result["scores"]["none"]["v_rand"]}}
    sets = ["isbi2012", "nuclei"]
    pages.draw_curve(RESULTS + nuclei, sets, "report", tmp_path / "curve.png")
    pages.draw_bars(RESULTS, "isbi2012", "report", "fast", tmp_path / "bars.png")
    for name in ("curve.png", "bars.png"):
        assert np.asarray(Image.open(tmp_path / name).convert("L")).std() > 10
    with pytest.raises(InputError, match="no run of nuclei on few images"):
        pages.draw_curve(RESULTS, sets, "report", tmp_path / "no.png")
