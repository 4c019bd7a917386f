"""Templates of enrolled people: enrol, search, forget.

>>> import numpy as np
>>> with Gallery.open(None, fingerprint="0123abcd", dim=2) as gallery:
...     _ = gallery.enroll("ada", np.array([0.6, 0.8], dtype=np.float32), ["silhouette"])
...     gallery.search(np.array([0.0, 1.0], dtype=np.float32))[0].subject
'ada'

The default gallery is one SQLite file, searched exactly in memory. Templates are pseudonymous, but they are
biometric data: the file is readable by its owner only, and :meth:`Gallery.forget` leaves no byte of a
template in the database file, its write-ahead log or its shared memory. Blocks that the file system or an SSD
has freed are beyond a program's reach; put the gallery in an encrypted folder if that matters.
"""

from __future__ import annotations

from gait3dlib.gallery.base import Calibration, Entry, Gallery

__all__ = ["Calibration", "Entry", "Gallery"]
