//! Servers of a farm.

mod node;
mod properties;
mod vectors;
