"""What holds for every test: a state directory of its own, no real keys, no deadlines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: how long an example takes is no property of the code.
settings.register_profile(
    "minionbench", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("minionbench")

ROOT = Path(__file__).parent.parent
"""The checkout."""


@pytest.fixture(scope="session", autouse=True)
def _sealed_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps tests away from the user's runs, keys, servers and proxies."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.endswith(("_API_KEY", "_BASE_URL")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("OLLAMA_HOST", "STATE_DIR", "XDG_STATE_HOME", "MINIONBENCH_PROVIDERS"):
            patch.delenv(name, raising=False)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("MILTON_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        # Somebody may be measuring on this machine, or testing.
        patch.setenv("MINIONBENCH_LOCK_DIR", str(tmp_path_factory.mktemp("lock")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's folder."""
    return ROOT


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets; a test that asks for it skips where there is none."""
    folder = os.environ.get("MINIONBENCH_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MINIONBENCH_TEST_DATA names no folder of real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 0.1 million random weights: 256 KB, context 4,096."""
    from training.gguf_file import write_random_gguf

    path = tmp_path_factory.mktemp("models") / "random.gguf"
    write_random_gguf(path)
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 0.1 million random weights: 256 KB, context 4,096."""
    from training.gguf_file import write_random_gguf

    path = tmp_path_factory.mktemp("models") / "random.gguf"
    write_random_gguf(path)
    return path
