"""Callbacks for training loops that others wrote, over `sweeps.current_run()`: one module per framework."""
