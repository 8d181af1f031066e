"""Returns of policies, in docs/results.md and docs/explanations/reinforcement_learning.md."""

from benchmarks.document_tables.stored import plus_minus, read


def _returns(folder, policies, updates):
    """A row a policy, with its return before adaptation and after some updates."""
    stored = {row["policy"]: row for row in read(f"{folder}/returns.json")["rows"]}
    rows = [["policy", "before", *(f"{n} update{'s' if n > 1 else ''}" for n in updates)]]
    for policy, words in policies.items():
        row, cells = stored[policy], []
        for update in (0, *updates):
            if update >= len(row["mean"]):
                cells.append("")
                continue
            figure, interval = row["mean"][update], row["interval95"][update]
            digits = 0 if abs(figure) >= 100 else 2 if abs(figure) < 1 else 1
            cells.append(plus_minus(figure, interval, digits))
        rows.append([words, *cells])
    return rows


def navigation():
    """Returns of 2D navigation, at the inner rate 0.1."""
    policies = {
        "MAML": "MAML, [`rl_navigation_maml`](../gin/rl_navigation_maml.gin)",
        "pretrained": "pretrained for all goals",
        "random initialisation": "untrained",
        "oracle": "oracle that sees the goal",
    }
    return _returns("rl_navigation", policies, (1, 2))


def navigation_of_the_authors_rate():
    """Returns of 2D navigation, at the inner rate 0.5."""
    policies = {"MAML": "MAML", "pretrained": "pretrained for all goals"}
    return _returns("rl_navigation_rate_0.5", policies, (1,))


NAVIGATION = {
    "MAML": "MAML",
    "pretrained": "pretrained for all goals",
    "random initialisation": "untrained",
}


def navigation_in_full():
    """The same in the page of reinforcement learning, to three updates."""
    policies = {**NAVIGATION, "oracle": "oracle, sees the goal"}
    return _returns("rl_navigation", policies, (1, 2, 3))


def navigation_of_the_authors_rate_in_full():
    """Returns at the inner rate 0.5, to three updates."""
    return _returns("rl_navigation_rate_0.5", NAVIGATION, (1, 2, 3))


def cheetah():
    """Returns of the half-cheetah."""
    policies = {
        "MAML": "MAML",
        "pretrained": "trained for both directions at once",
        "random initialisation": "untrained",
    }
    return _returns("rl_cheetah_direction", policies, (1, 3))
