"""The shipped application: classic image classifiers, trained by their textbook recipes."""
