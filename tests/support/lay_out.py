"""lay_out.py SOLUTION FOLDER: write a reference, a flaw or a fair design as a whole solution of its own."""

import sys
from pathlib import Path

from crucible.planning.overlays import lay_out

if __name__ == "__main__":
    _, solution, folder = sys.argv
    print(lay_out(Path(solution).resolve(), Path(folder).resolve()))
