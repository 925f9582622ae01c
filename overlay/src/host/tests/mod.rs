mod moving;
mod published;
mod stage;
mod traffic;
mod upkeep;
