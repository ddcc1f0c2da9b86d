"""`python -m cloudctl`: the command line."""

from cloudctl.cli import main

main()
