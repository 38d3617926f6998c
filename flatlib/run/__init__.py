"""Runs that take a while: checked parameters, a folder, a loop that can be stopped, a command line."""
