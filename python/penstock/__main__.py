"""`python -m penstock`: the same as the command `penstock`."""

from penstock._cli import main

main()
