"""`python -m runner` is the `treedock` command."""

from runner.cli.start import main

if __name__ == "__main__":
    main()
