"""Half-cheetah and ant of gymnasium's MuJoCo, rewarded for the motion that a task asks for.

Imported where simulations run, and by nothing else: it needs the extra [rl], and no TensorFlow.
"""

import functools
import sys

import gymnasium
import mujoco
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

# Terms of gymnasium's rewards that do not depend on the task, where an environment has them.
_COSTS = ("reward_ctrl", "reward_contact", "reward_survive")


def _report(warning: str) -> None:
    """Says what MuJoCo warns of, except that gymnasium's bodies are written in an old way."""
    if "deprecated" not in warning:
        print(f"MuJoCo: {warning}", file=sys.stderr, flush=True)


# MuJoCo's own way is a file in the current directory, which each process would write.
mujoco.set_mju_user_warning(_report)


def along(direction: float, velocity: float) -> float:
    """Forward velocity in a direction, 1 or -1; in metres a second."""
    return direction * velocity


def near(goal: float, velocity: float) -> float:
    """Minus the distance of forward velocity from a goal; in metres a second."""
    return -abs(velocity - goal)


class MotionTask(gymnasium.Wrapper):
    """Rewards motion, by a task's parameter, instead of forward motion; costs stay.

    Args:
        environment: whose `info` has "x_velocity" and the terms of its reward.
        motion: function of a task's parameter and the velocity along x to a reward.
        bonus: added to each step's reward.
    """

    def __init__(self, environment: gymnasium.Env, motion, bonus: float):
        super().__init__(environment)
        self._motion = motion
        self._bonus = bonus

    def reset(self, *, seed=None, options=None):
        (self._task,) = (float(number) for number in options["task"])
        return self.env.reset(seed=seed)

    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = self._motion(self._task, info["x_velocity"]) + self._bonus
        reward += sum(info[name] for name in _COSTS if name in info)
        return observation, reward, terminated, truncated, info


class _SharedModel:
    """Environments of a process share one compiled model, which no simulation changes.

    Compiling it is most of what making an environment takes, and there are hundreds.
    """

    fullpath: str  # of the model's file, which gymnasium's class sets

    def _initialize_simulation(self):
        model = _compiled(self.fullpath)
        return model, mujoco.MjData(model)


@functools.cache
def _compiled(path: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(path)


class _HalfCheetah(_SharedModel, HalfCheetahEnv):
    pass


class _Ant(_SharedModel, AntEnv):
    pass


def half_cheetah(motion, bonus: float = 0.0) -> gymnasium.Env:
    """A half-cheetah with the authors' cost of control, 0.05 |a|^2."""
    return MotionTask(_HalfCheetah(ctrl_cost_weight=0.05), motion, bonus)


def ant(motion, bonus: float = 0.0) -> gymnasium.Env:
    """An ant with the authors' costs: 0.005 |a|^2, 0.0005 |contact forces|^2, 0.05 for living."""
    body = _Ant(ctrl_cost_weight=0.005, contact_cost_weight=5e-4, healthy_reward=0.05)
    return MotionTask(body, motion, bonus)
