mod bits;
mod golden;
mod gradients;
mod learning;
mod speed;
mod state;
mod world;
