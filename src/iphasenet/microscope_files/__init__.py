"""Images of four segments as microscopes and other programs write them."""
