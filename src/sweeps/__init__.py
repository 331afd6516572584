"""Compare architectures and hyper-parameters: experiment sweeps for PyTorch, composed and run with Hydra."""
