"""What a captured graph assumed about sizes, and for which sizes that holds."""
