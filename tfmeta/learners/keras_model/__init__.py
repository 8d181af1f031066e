"""What makes a learner a Keras model: its arguments, `compile`, `fit`, its steps and its saving."""
