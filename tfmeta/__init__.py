"""Meta-learning for Keras models, with exact derivatives, served by stock TF Serving."""

from tfmeta.process.lazy_names import lazy_names
from tfmeta.process.quiet_start import watch_imports

# Names load when first used, so that a server imports neither Keras nor learners, and
# `import tfmeta` is quick.
MODULES = {
    "ALFA": "tfmeta.learners",
    "BFA": "tfmeta.learners",
    "BMAML": "tfmeta.learners",
    "BOIL": "tfmeta.learners",
    "CAVIA": "tfmeta.learners",
    "FineTuning": "tfmeta.learners",
    "GradientCombination": "tfmeta.learners",
    "IMAML": "tfmeta.learners",
    "LLAMA": "tfmeta.learners",
    "MAML": "tfmeta.learners",
    "MAMLPlusPlus": "tfmeta.learners",
    "MTNet": "tfmeta.learners",
    "MatchingNetwork": "tfmeta.learners",
    "MetaCurvature": "tfmeta.learners",
    "MetaLearner": "tfmeta.learners",
    "MetaSGD": "tfmeta.learners",
    "NearestNeighbor": "tfmeta.learners",
    "PLATIPUS": "tfmeta.learners",
    "ProtoMAML": "tfmeta.learners",
    "PrototypicalNetwork": "tfmeta.learners",
    "R2D2": "tfmeta.learners",
    "Reptile": "tfmeta.learners",
    "TaskGradient": "tfmeta.parts",
    "UnicornMAML": "tfmeta.learners",
    "__version__": "tfmeta.process.version",
    "export": "tfmeta.export",
    "head_learner": "tfmeta.learners",
    "inner": "tfmeta.inner",
    "learners": "tfmeta.learners",
    "networks": "tfmeta.networks",
    "parallel": "tfmeta.parallel",
    "parts": "tfmeta.parts",
    "presets": "tfmeta.presets",
    "restore": "tfmeta.runs",
    "rl": "tfmeta.rl",
    "saved_model": "tfmeta.saved_model",
    "tasks": "tfmeta.tasks",
    "testing": "tfmeta.testing",
}

__all__ = sorted(MODULES)
__getattr__ = lazy_names(__name__, MODULES)


def __dir__():
    return __all__


watch_imports()
