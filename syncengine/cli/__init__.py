"""The command line: one file per command, and the only place of the package that prints, asks and exits."""
