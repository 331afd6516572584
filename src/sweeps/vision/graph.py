"""The network as a TensorBoard graph, from symbolic tracing.

tensorboardX's own `add_graph` rests on `torch.jit.trace`, which torch has deprecated.
"""

from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.versions_pb2 import VersionDef
from torch import Tensor, nn
from torch.fx import GraphModule, Node, Tracer
from torch.fx.passes.shape_prop import ShapeProp


def add_graph(writer: SummaryWriter, network: nn.Module, images: Tensor) -> None:
    """Write the graph of `network` for `images` [B, C, H, W]; its weights and running statistics stay as they are."""
    training = network.training
    network.eval()
    try:
        traced = GraphModule(network, Tracer().trace(network))
        ShapeProp(traced).propagate(images)
    finally:
        network.train(training)
    names: dict[Node, str] = {}
    for node in traced.graph.nodes:
        name = _name(node)
        names[node] = name if name not in names.values() else f"{name}/{node.name}"  # a layer that is used again
    graph = GraphDef(versions=VersionDef(producer=22))
    for node, name in names.items():
        definition = graph.node.add(name=name, op=_operation(node, network))
        definition.input.extend(names[source] for source in node.all_input_nodes)
        shape = getattr(node.meta.get("tensor_meta"), "shape", None)
        if shape is not None:
            sizes = definition.attr["_output_shapes"].list.shape.add()
            for size in shape:
                sizes.dim.add(size=size)
    writer.file_writer.add_event(Event(graph_def=graph.SerializeToString()))


def _name(node: Node) -> str:
    """A name whose slashes follow the modules, so that TensorBoard can fold them."""
    path = str(node.target).replace(".", "/") if node.op == "call_module" else ""
    inside = node.meta.get("nn_module_stack")
    if not path and inside:
        path = f"{next(reversed(inside.values()))[0].replace('.', '/')}/{node.name}".lstrip("/")
    return path or node.name


def _operation(node: Node, network: nn.Module) -> str:
    target: Any = node.target
    if node.op == "call_module":
        return type(network.get_submodule(target)).__name__
    if node.op == "call_function":
        return str(getattr(target, "__name__", target))
    return str(target) if node.op == "call_method" else node.op
