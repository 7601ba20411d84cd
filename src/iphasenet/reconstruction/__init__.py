"""From a user's own images to the projected potential: `reconstruct.reconstruct`, and what prepares and checks them."""
