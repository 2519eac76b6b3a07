"""Image captioning: an image in, a sentence out."""
