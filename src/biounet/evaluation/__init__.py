"""Scores of files against files (`biounet evaluate`).

files.py    which prediction belongs to which truth, and what they hold
scores.py   the metrics that fit, as a tree of plain values
page.py     the page to look at
"""

from biounet.evaluation.files import pair_files
from biounet.evaluation.page import write_evaluation_page
from biounet.evaluation.scores import evaluate_files, headline, write_scores

__all__ = [
    "evaluate_files",
    "headline",
    "pair_files",
    "write_evaluation_page",
    "write_scores",
]
