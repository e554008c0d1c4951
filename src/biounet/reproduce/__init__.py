"""The paper's tables on data at hand: U-Net, sliding window and FCN under the same terms.

| to do | call |
|---|---|
| a task from data to table and page | `reproduce` |
| the rows that the paper prints | `paper` |
"""

from biounet.reproduce.contest import NetworkResult, Terms
from biounet.reproduce.run import Reproduction, reproduce
from biounet.reproduce.tasks import TASKS, TaskName

__all__ = ["TASKS", "NetworkResult", "Reproduction", "TaskName", "Terms", "reproduce"]
