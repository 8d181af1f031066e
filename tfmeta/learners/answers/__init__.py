"""What a trained learner gives: answers for tasks, an adapted model, scores, a `Servable`."""
