"""What every modality contributes: all subsets, by task and covariate, and what happens when one goes wrong.

>>> report = gait3dlib.ablate(pipeline, "walkers")       # doctest: +SKIP
>>> report.rows("rank-1")[("lidar", "silhouette")].value  # doctest: +SKIP
>>> report.write("ablation")                              # doctest: +SKIP

Tokens are encoded once and fused for every subset. Intervals and tests resample people, not walks.
"""

from gait3dlib.ablation._corrupt import LEVELS, corrupted
from gait3dlib.ablation._judge import MEASURES, Figure
from gait3dlib.ablation._report import AblationReport, Embeddings
from gait3dlib.ablation._run import ablate
from gait3dlib.ablation._tables import Table, main_tables

__all__ = [
    "LEVELS",
    "MEASURES",
    "AblationReport",
    "Embeddings",
    "Figure",
    "Table",
    "ablate",
    "corrupted",
    "main_tables",
]
