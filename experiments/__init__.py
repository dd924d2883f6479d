"""Command line entry points and the grids that join the rooms."""
