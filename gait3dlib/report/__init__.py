"""A page for people: who walked past, who they were said to be, and what else the walk told.

One HTML file that carries everything in it and asks for nothing: no address is contacted, and only the page's
own script may run.

>>> write_report("report.html", walks, enrolled)  # doctest: +SKIP
"""

from gait3dlib.report._page import write_report
from gait3dlib.report._walks import Outcome, ReportTable, ReportWalk, outcome

__all__ = ["Outcome", "ReportTable", "ReportWalk", "outcome", "write_report"]
