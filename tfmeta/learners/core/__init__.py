"""What learners are composed of: adaptations, gradient rules, and the learner that runs them."""
