"""The house stays as it was drawn: imports point down, light rooms stay light, names are public by list."""

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in SRC.rglob("*.py")
}
PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py" and name.startswith("sweeps"))

# From the bottom of the house to its top. A room may use what is on a lower floor, and itself.
FLOORS = (
    {"errors", "terminal"},
    {"config", "targets"},
    {"hints", "record"},
    {"checkpoint", "hooks", "progress", "pruners", "trackers"},
    {"run"},
    {"decision", "recorded_run"},
    {"results"},
    {"launchers"},
    {"task"},
    {"sweepers"},
    {"decide", "integrations", "report", "summarize", "watch"},
    {"vision"},
    {"sweeps"},
    {"__main__", "hydra_plugins"},
)
# Rooms that see less than what is below them.
ONLY = {
    "pruners": {"errors", "record", "targets"},
    "trackers": {"errors", "record", "targets", "terminal"},
    "results": {"config", "errors", "record", "terminal"},
    "report": {"config", "errors", "record", "results", "targets", "terminal"},
    "summarize": {"errors", "record", "results", "terminal"},
    "decide": {"errors", "record", "results", "terminal"},
    "integrations": {"errors", "record", "run"},
    # The shipped application is the first user of the engine: it sees what a stranger's application sees.
    "vision": {"config", "errors", "record", "report", "run", "summarize", "targets", "task", "terminal", "trackers"},
}
LIGHT = (
    "config",
    "decision",
    "errors",
    "hints",
    "hooks",
    "progress",
    "pruners",
    "record",
    "recorded_run",
    "results",
    "run",
    "summarize",
    "task",
)
PLUGINS = {"hydra_plugins.sweeps.plugins"}
WITHOUT_TORCH = sorted(
    {module for module, path in MODULES.items() if "ever imports torch" in path.read_text(encoding="utf-8")[:1000]}
    | {module for module in MODULES if module.split(".")[1:2] and module.split(".")[1] in LIGHT}
    | PLUGINS
)


def room(module: str) -> str:
    """`sweeps.vision.training.loop` stands in the room `training`, and the plugins in one of their own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "sweeps" and len(parts) > 1 else parts[0]


def imported(module: str) -> set[str]:
    """The modules of this project that a module imports, wherever in it; not what only type checkers read."""
    names: set[str] = set()
    for node in ast.walk(without_typing(ast.parse(MODULES[module].read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by dots; write the whole name"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if name in MODULES}
            if not inner <= MODULES.keys():
                names.add(node.module)
    return {name for name in names if name.split(".")[0] in ("sweeps", "hydra_plugins")}


def without_typing(tree: ast.AST) -> ast.AST:
    """The tree without the blocks `if TYPE_CHECKING`."""

    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            return node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Drop().visit(tree)


def test_every_room_has_its_floor():
    rooms = {room(module) for module in MODULES} - {"sweeps"}
    assert rooms <= set().union(*FLOORS), "draw the new room into FLOORS"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module):
    floors = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    here = room(module)
    for name in imported(module):
        there = room(name)
        assert name in MODULES, f"{module} imports {name}, which is no module"
        if there in (here, "sweeps"):
            continue
        assert floors[there] < floors[here], f"{module} imports {name}, which is not below it"
        assert there in ONLY.get(here, {there}), f"{module} imports {name}, which its room does not see"


def test_there_are_no_cycles():
    graph = {module: imported(module) - {module} for module in MODULES if module != "sweeps"}  # which imports late
    for module in graph:  # a package stands for what it collects, so its own files may not lean on it
        package = module.rpartition(".")[0]
        assert package not in graph[module] or package == "sweeps", f"{module} imports its own package"
    list(graphlib.TopologicalSorter(graph).static_order())


def test_the_engine_knows_nothing_of_the_shipped_application():
    for module in MODULES:
        if room(module) not in ("vision", "sweeps", "__main__"):
            assert not [name for name in imported(module) if room(name) == "vision"], module


def test_light_rooms_start_without_torch():
    code = f"import importlib, sys\nfor name in {WITHOUT_TORCH!r}:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("plugins", sorted(PLUGINS))
def test_plugins_are_cheap_to_scan(plugins):
    """Hydra executes them at every start, so whatever they need is imported when it is needed."""
    tree = ast.parse(MODULES[plugins].read_text(encoding="utf-8"))
    at_once = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name in [node.module]}
    at_once |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in at_once} <= sys.stdlib_module_names | {"hydra", "omegaconf", "sweeps"}
    assert {name for name in at_once if name.startswith("sweeps")} <= {"sweeps.config", "sweeps.hints"}
    assert not (SRC / "hydra_plugins" / "__init__.py").exists(), "it is a namespace that other plugins share"


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_is_on_the_list(package):
    module = importlib.import_module(package)
    visible = {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    listed = getattr(module, "__all__", [])
    assert sorted(listed) == sorted(set(listed))
    assert visible <= set(listed)
    assert all(hasattr(module, name) for name in listed)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_can_be_read_in_one_sitting(module):
    lines = MODULES[module].read_text(encoding="utf-8").splitlines()
    assert len(lines) < 300
    assert lines[0].startswith('"""'), "say what it is for"


def test_there_is_no_drawer_for_everything():
    names = {part for module in MODULES for part in module.split(".")}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
