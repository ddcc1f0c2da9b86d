"""Builds the images or brings up a bed to look at: `python -m tests.beds.servers build|up [PROCESSOR …]`."""

import sys
import time

from tests.beds.servers import images


def main(words: list[str]) -> None:
    began = time.monotonic()
    if words == ["build"]:
        images.build(lambda line: print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True))
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
