"""Learners that train an embedding: comparison with the support set, and fine-tuning."""
