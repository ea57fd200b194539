"""The demo's data and weights: small videos of moving shapes, their frames and flow images, and two small nets."""
