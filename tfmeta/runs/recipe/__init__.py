"""Recipes: gin files as they are read, and the settings that they stand for.

What is imported here knows neither TensorFlow nor gin's registry, so that a command can list
recipes or refuse a flag at once; `config.py` and `settings.py` are imported by name.
"""

from tfmeta.runs.recipe.comparing import (
    FREE_TO_CHANGE,
    bound_values,
    differences,
    iterate_values,
)
from tfmeta.runs.recipe.errors import RecipeError, RunError, explained
from tfmeta.runs.recipe.finding import (
    describe_recipes,
    find_recipe,
    nearest,
    recipe_folder,
    recipe_names,
)
from tfmeta.runs.recipe.reading import (
    Binding,
    Macro,
    Recipe,
    Reference,
    Source,
    parse_recipe,
    read_recipe,
)

__all__ = [
    "FREE_TO_CHANGE",
    "Binding",
    "Macro",
    "Recipe",
    "RecipeError",
    "Reference",
    "RunError",
    "Source",
    "bound_values",
    "describe_recipes",
    "differences",
    "explained",
    "find_recipe",
    "iterate_values",
    "nearest",
    "parse_recipe",
    "read_recipe",
    "recipe_folder",
    "recipe_names",
]
