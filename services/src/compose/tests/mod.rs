mod errors;
mod examples;
mod fuzz;
mod including;
mod kit;
mod merging;
mod services;
mod writing;
