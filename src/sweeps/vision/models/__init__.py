"""The networks: builder functions with one keyword-only signature, and the checks that need no data.

`_target_: sweeps.vision.models.alexnet` is the function. A network of your own needs a file here and a YAML in
`conf/model/` with `_target_: sweeps.vision.models.mynet.mynet`; a name exported below may leave out the module's.
"""

from sweeps.vision.models.alexnet import alexnet
from sweeps.vision.models.densenet import densenet
from sweeps.vision.models.googlenet import googlenet
from sweeps.vision.models.initialize import initialize
from sweeps.vision.models.inspect import inspect_network
from sweeps.vision.models.lenet_bn import lenet_bn
from sweeps.vision.models.nin import nin
from sweeps.vision.models.resnet18 import resnet18
from sweeps.vision.models.vgg11 import vgg11

__all__ = [
    "alexnet",
    "densenet",
    "googlenet",
    "initialize",
    "inspect_network",
    "lenet_bn",
    "nin",
    "resnet18",
    "vgg11",
]
