"""Hydra's own conformance suites for launchers, and what any Hydra application gets from this one."""

import pytest
from hydra.core.singleton import Singleton
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite
from hydra.version import VersionBase

LOCAL = "hydra/launcher=local"

# The suites' applications keep the defaults of Hydra 1.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Future Hydra versions will no longer change working directory:UserWarning"
)


@pytest.fixture(autouse=True)
def version_of_the_suites(monkeypatch):
    """Our own application asks for Hydra 1.3's defaults, and Hydra remembers that for the whole process."""
    kept = {kind: instance for kind, instance in Singleton._instances.items() if kind is not VersionBase}
    monkeypatch.setattr(Singleton, "_instances", kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("local", []), ("local", ["hydra.launcher.workers=0"])],
    ids=["workers", "in process"],
)
class TestLocalLauncher(LauncherTestSuite):
    """Jobs, their results and their folders."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("local", ["hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2", "hydra.launcher.workers=1"])],
    ids=["basic sweeper"],
)
class TestLocalLauncherInBatches(BatchedSweeperTestSuite):
    """Several calls of the launcher in one sweep."""


@pytest.mark.slow
@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", LOCAL])], ids=["local"])
class TestLocalLauncherIntegration(IntegrationTestSuite):
    """Real applications in processes of their own."""
