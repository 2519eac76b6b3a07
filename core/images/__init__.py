"""What is about images: reading them, and turning them into tensors."""
