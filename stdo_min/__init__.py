"""Video super-resolution by data overfitting: tiny integer nets, trained on one video, upscale exactly that video."""

__version__ = "0.1.0"
