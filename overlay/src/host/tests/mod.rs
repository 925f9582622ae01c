mod stage;
mod traffic;
mod upkeep;
