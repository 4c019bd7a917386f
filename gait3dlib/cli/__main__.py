"""``python -m gait3dlib.cli`` is ``gait3d``, where the script is not on the path."""

from gait3dlib.cli import main

if __name__ == "__main__":
    main()
