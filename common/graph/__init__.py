"""What a graph is made of: batches, layers, what a recipe names, and the device that it runs on."""
