"""What a user sees of a trained network: answers in a table, as pictures, on a page."""
