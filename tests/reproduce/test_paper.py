"""The paper's rows are those that it prints."""

from pathlib import Path

import pytest

from biounet.reproduce.paper import TABLE_1, TABLE_2, PaperTable


@pytest.mark.parametrize(("table", "n_rows"), [(TABLE_1, 6), (TABLE_2, 5)])
def test_every_row_stands_in_the_paper(shared: Path, table: PaperTable, n_rows: int) -> None:
    (paper,) = (shared / "seeds").glob("003*.txt")
    printed = [line.replace(" [1]", "").split("\t") for line in paper.read_text().splitlines()]
    for row in table.rows:
        ranked = [row.name, *row.values]
        assert [row.rank, *ranked] in printed or ranked in printed, row
    assert len(table.rows) == n_rows
    assert any(line[-len(table.columns) :] == list(table.columns) for line in printed)


def test_human_values_come_first() -> None:
    assert TABLE_1.rows[0].name == "** human values **"
    assert TABLE_1.rows[0].values == ("0.000005", "0.0021", "0.0010")
