"""A learner in a file of its own, which a recipe imports: MAML with half of its meta-gradient."""

import keras

import gin
import tfmeta


@gin.configurable
@keras.saving.register_keras_serializable("half_maml")
class HalfMAML(tfmeta.MAML):
    """MAML whose meta-gradient is multiplied by a factor."""

    def __init__(self, network, *arguments, factor=0.5, **options):
        super().__init__(network, *arguments, **options)
        self.factor = factor

    def task_gradient(self, parameters, task, state, key):
        found = super().task_gradient(parameters, task, state, key)
        return found._replace(gradient=[self.factor * value for value in found.gradient])
