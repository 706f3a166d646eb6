"""How good a sprite model is: a judge trained on real pictures, and what it says of the sprites that a model draws."""
