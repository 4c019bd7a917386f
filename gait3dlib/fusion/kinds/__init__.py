"""Ways to fuse tokens, one file each: the file's name is what a config writes as ``fusion: {kind: ...}``."""
