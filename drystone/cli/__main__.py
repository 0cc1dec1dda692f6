"""`python -m drystone.cli`."""

from drystone.cli import main

if __name__ == "__main__":
    main()
