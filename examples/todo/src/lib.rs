//! A to-do application on livestore.
