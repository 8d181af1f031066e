"""The demo: a page to draw on, and the model behind it, served beside the REST API."""
