"""Small environments of gymnasium, which simulation processes import: no TensorFlow here."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class LineWorld(gymnasium.Env):
    """A point on a line that is to reach its task's place; it starts somewhere at random.

    Observations are the place and the velocity, an action in [0, 4] is a push, 2 being none.
    """

    observation_space = Box(-np.inf, np.inf, (2,))
    action_space = Box(0.0, 4.0, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        (self.goal,) = options["task"]
        self.place, self.velocity = self.np_random.normal(), 0.0
        return self._seen(), {}

    def step(self, action):
        self.velocity += 0.3 * (action[0] - 2.0) + 0.01 * self.np_random.normal()
        self.place += self.velocity
        distance = abs(self.place - self.goal)
        return self._seen(), -distance, bool(distance < 0.4), False, {}

    def _seen(self):
        return np.array([self.place, self.velocity])


class BrokenWorld(LineWorld):
    """Fails in its second step."""

    def reset(self, **options):
        self.left = 1
        return super().reset(**options)

    def step(self, action):
        if not self.left:
            raise FloatingPointError("the line is torn")
        self.left -= 1
        return super().step(action)


class ButtonWorld(LineWorld):
    """Its actions are no vectors."""

    action_space = gymnasium.spaces.Discrete(3)


class BoundlessWorld(LineWorld):
    """Its actions have no bounds."""

    action_space = Box(-np.inf, np.inf, (1,))
