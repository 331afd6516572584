"""Compare architectures and hyper-parameters: experiment sweeps for PyTorch, composed and run with Hydra.

For notebooks: `load` gives the runs of a sweep as data frames, `load_model` a trained network, ready to predict.
"""

import typing as _typing

if _typing.TYPE_CHECKING:
    from pathlib import Path as _Path

    from sweeps.results.dataframes import Frames as _Frames
    from sweeps.vision.predict import Trained as _Trained

__all__ = ["load", "load_model"]


def load(*folders: "str | _Path") -> "_Frames":
    """The runs at and below `folders` as two data frames, `runs` and `epochs`; needs pandas. See `sweeps.results.dataframes`."""
    from sweeps import frames  # here, so that `import sweeps` costs nothing

    return frames.load(*folders)


def load_model(folder: "str | _Path", *, device: str = "cpu") -> "_Trained":
    """The network that the run in `folder` has trained, ready to predict. See `sweeps.vision.predict`."""
    from sweeps import predict

    return predict.load_model(folder, device=device)
