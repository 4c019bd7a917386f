"""Modalities: one file each, the file's name is the name users write in ``Pipeline(modalities=[...])``.

A modality reads one or more streams of a walk, prepares them on the CPU, and brings the network that turns
them into tokens for the fusion. To add one, write ``modalities/<name>.py`` with a class ``<Name>`` that
inherits :class:`Modality`; nothing else has to be told.
"""

from gait3dlib.modalities._base import Batch, Modality, Sample, seconds

__all__ = ["Batch", "Modality", "Sample", "seconds"]
