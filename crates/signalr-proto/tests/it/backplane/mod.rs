//! Servers of a farm.

mod properties;
mod vectors;
