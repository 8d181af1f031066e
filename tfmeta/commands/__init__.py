"""What the commands share: flags for a recipe, and errors that a user can read."""

from tfmeta.commands.running import (
    as_recipe_errors,
    define_recipe_params,
    import_tensorflow,
    parse_flags,
    run,
)

__all__ = ["as_recipe_errors", "define_recipe_params", "import_tensorflow", "parse_flags", "run"]
