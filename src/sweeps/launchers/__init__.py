"""Where runs run: the grid, the local launcher and the progress display."""
