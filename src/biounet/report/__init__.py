"""Pages to look at, from what runs leave behind: HTML in one file each.

| to do | call |
|---|---|
| the page about a training run | `write_report` |
| the page about scored images | `write_evaluation_report` |
| any other page | `page.Page`, its blocks, `page.write_page` |
| pictures and charts for it | `pictures`, `charts` |
"""

from biounet.report.evaluation_report import Compared, EvaluatedImage, write_evaluation_report
from biounet.report.run_report import write_report

__all__ = ["Compared", "EvaluatedImage", "write_evaluation_report", "write_report"]
