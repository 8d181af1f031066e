"""Installation of tfmeta; BUILD.md says why each dependency is there.

The name, the description and what else an index shows are in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"',
    (ROOT / "tfmeta" / "process" / "version.py").read_text(encoding="utf-8"),
)[1]
# The recipes are a folder of files, no package: `gin/` with an `__init__.py` would shadow
# gin-config. They are installed as data of `tfmeta`, under `tfmeta/recipes`.
RECIPES = ["", ".tasks", ".learners", ".networks"]

# tensorflow-serving-api asks for a TensorFlow of at least its own version, so that pip chooses
# the newest pair that fits, and the older pair where an older TensorFlow is asked for beside.
VERSIONS = ">=2.19,<2.22"
RL = ["cloudpickle>=2,<4", "gymnasium[mujoco]>=1.1,<2", "mujoco>=3.3,<5"]
SERVING = [
    "grpcio-health-checking>=1.70,<2",
    "prometheus-client>=0.20,<1",
    "starlette>=0.46,<2",
    "uvicorn>=0.34,<1",
]

setup(
    version=VERSION,
    packages=[
        *find_packages(include=["tfmeta", "tfmeta.*"]),
        *(f"tfmeta.recipes{part}" for part in RECIPES),
    ],
    entry_points={"console_scripts": ["tfmeta = tfmeta.__main__:main"]},
    package_dir={
        "tfmeta": "tfmeta",
        **{f"tfmeta.recipes{part}": "gin" + part.replace(".", "/") for part in RECIPES},
    },
    package_data={
        "tfmeta": ["py.typed"],
        "tfmeta.runs.comparison": ["published.csv"],
        "tfmeta.presets": ["shipped/*"],
        "tfmeta.serve.demo": ["page/*", "model/1/**"],
        **{f"tfmeta.recipes{part}": ["*.gin"] for part in RECIPES},
    },
    install_requires=[
        "absl-py>=2.1,<3",
        "gin-config>=0.5,<0.6",
        "importlib_resources>=6,<8",
        "keras>=3.10,<4",
        "matplotlib>=3.8,<4",
        "numpy>=1.26,<3",
        "pillow>=10,<14",
        "tensorboard>=2.19,<3",
        f"tensorflow{VERSIONS}",
        "tensorflow-datasets>=4.9.8,<5",
        f"tensorflow-serving-api{VERSIONS}",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]{VERSIONS}"],
        "rl": RL,
        "serving": SERVING,
        # TensorFlow 2.19 has a protobuf older than what tensorflow-metadata 1.18 and later, which
        # tensorflow-datasets imports, were generated for, and its bounds do not say so.
        "tf219": [
            "tensorflow==2.19.*",
            "tensorflow-metadata<1.18",
            "tensorflow-serving-api==2.19.*",
        ],
        "test": [
            *RL,
            *SERVING,
            "check-jsonschema>=0.29,<1",
            "hypothesis>=6,<7",
            "keras-tuner>=1.4.7,<2",
            "kubernetes-validate>=1.34,<2",
            "mypy>=1.15,<3",
            "pytest>=8,<10",
            "pytest-xdist>=3,<4",
            "pyyaml>=6,<7",
            "requests>=2.31,<3",
            "ruff>=0.8,<1",
            "selenium>=4.20,<5",
            "tenacity>=8.3,<10",
            "urllib3>=1.26,<3",
        ],
        "docs": [
            "ipykernel>=6.29,<8",
            "jupytext>=1.16,<2",
            "latex2mathml>=3.77,<4",
            "mkdocs-material>=9.6,<10",
            "mkdocstrings[python]>=0.30,<2",
            "nbclient>=0.10,<1",
            "nbconvert>=7.16,<8",
            "ruff>=0.8,<1",
        ],
        "benchmarks": [
            "higher==0.2.1",
            "jax>=0.6,<1",
            "locust>=2.30,<3",
            "torch>=2.6,<3",
            "torchopt>=0.7.3,<0.8",
        ],
    },
)
