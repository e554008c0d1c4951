"""Accuracy on public sets: rows of changed settings, each trained, scored, and set in tables.

    python benchmarks/accuracy.py run isbi2012 --data isbi2012 --out research \\
        --rows benchmarks/rows/few-images.yaml --images 1,2,5,10 --seeds 0,1,2 --minutes 20
    python benchmarks/accuracy.py ensemble research/results/nuclei-report-fast-30min-seed?.json
    python benchmarks/accuracy.py table benchmarks/results/accuracy \\
        --docs docs/results.md docs/research.md
    python benchmarks/accuracy.py curve research/results isbi2012 nuclei --budget 20min \\
        --out docs/images/few.png
    python benchmarks/accuracy.py bars research/results isbi2012 --base fast --out docs/images/a.png

Choices are made on `--part choose`; `--part report` touches the test part, once a figure;
`--part all` trains on everything, to be shipped (`benchmarks/ship.py`). Stopped and run again, it
does what is missing. A row of the YAML file is `name: {section: {setting: value}}`, with
`run: {truth, start_from, averages}` for what is no setting.
"""

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import get_args

from accuracy_pages import draw_bars, draw_curve, fill_tables, of_budget, read_results
from accuracy_runs import Job, do, do_ensemble, present_commit, read_rows
from accuracy_splits import Part, SetName

from biounet.errors import InputError


def main() -> int:
    """Run a mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    run = modes.add_parser("run", help="train, predict, score")
    run.add_argument("set", choices=get_args(SetName))
    run.add_argument("--data", type=Path, required=True, help="folder of the set")
    run.add_argument("--out", type=Path, required=True, help="folder of data, runs and results")
    run.add_argument("--part", choices=get_args(Part), default="choose")
    run.add_argument("--rows", type=Path, help="YAML file of rows; none: the preset fast")
    run.add_argument("--only", action="append", help="a row of the file; can be repeated")
    run.add_argument("--seeds", type=numbers, default=[0], help="0,1,2")
    run.add_argument("--images", type=numbers, help="numbers of images to learn from, as 1,2,5,10")
    budget = run.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--steps", type=int)
    run.add_argument("--device", default="auto")
    run.add_argument("--commit", help="of the program, where there is no git to ask")
    ensemble = modes.add_parser("ensemble", help="score runs that differ in the seed as one")
    ensemble.add_argument(
        "results", type=Path, nargs="+", help="of the runs: OUT/results/NAME.json"
    )
    ensemble.add_argument("--device", default="auto")
    ensemble.add_argument("--commit", help="of the program, where there is no git to ask")
    table = modes.add_parser("table", help="fill the tables of a Markdown file")
    table.add_argument("results", type=Path)
    table.add_argument("--docs", type=Path, nargs="+", required=True)
    curve = modes.add_parser("curve", help="draw scores against images to learn from")
    bars = modes.add_parser("bars", help="draw what each row gained against another")
    bars.add_argument("--base", required=True, help="the row to compare with")
    for mode, sets in ((curve, "+"), (bars, None)):
        mode.add_argument("results", type=Path)
        mode.add_argument("set", choices=get_args(SetName), nargs=sets)
        mode.add_argument("--part", choices=get_args(Part), default="report")
        mode.add_argument("--budget", help="of the runs, as 20min; none: all")
        mode.add_argument("--out", type=Path, required=True)
    said = parser.parse_args()
    match said.mode:
        case "run":
            return run_all(said)
        case "ensemble":
            paths, commit = [path.resolve() for path in said.results], said.commit
            if failed := do_ensemble(paths, said.device, commit or present_commit()):
                print(f"failed: {failed}", file=sys.stderr)
                return 1
        case "table":
            for page in said.docs:
                fill_tables(read_results(said.results), page)
        case "curve":
            results = of_budget(read_results(said.results), said.budget)
            draw_curve(results, said.set, said.part, said.out)
        case "bars":
            results = of_budget(read_results(said.results), said.budget)
            draw_bars(results, said.set, said.part, said.base, said.out)
    return 0


def numbers(text: str) -> list[int]:
    """1,2,5 as whole numbers."""
    return [int(part) for part in text.split(",")]


def run_all(said: argparse.Namespace) -> int:
    """Every row with every number of images and every seed, seed by seed; 1 where some failed."""
    rows = read_rows(said.rows)
    if said.only is not None:
        names = said.only
        if unknown := set(names) - {row.name for row in rows}:
            raise InputError(f"no row {unknown.pop()!r}", "names of the file", "mend --only")
        rows = [row for row in rows if row.name in names]
    budget = ("minutes", said.minutes) if said.steps is None else ("steps", said.steps)
    commit = said.commit or present_commit()
    jobs = [
        Job(said.set, said.part, row, budget, n_images, seed)
        for seed, n_images, row in product(said.seeds, said.images or [None], rows)
    ]
    n_failed = 0
    for number, job in enumerate(jobs, start=1):
        print(f"{number}/{len(jobs)} {job.name}", flush=True)
        failed = do(job, said.data, said.out.resolve(), said.device, commit)
        if failed is not None:
            print(f"  failed: {failed}", file=sys.stderr, flush=True)
            n_failed += 1
    return int(n_failed > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InputError, OSError) as error:
        sys.exit(f"accuracy.py: {error}")
