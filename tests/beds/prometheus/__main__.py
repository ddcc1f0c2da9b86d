"""`python -m tests.beds.prometheus build`: fetch the programs, as `make test` does beside the lint."""

import sys

from tests.beds.prometheus import programs

if __name__ == "__main__":
    if sys.argv[1:] != ["build"]:
        sys.exit(f"usage: {sys.argv[0]} build")
    programs.build()
    print(programs.FOLDER)
