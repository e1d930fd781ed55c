//! Every part of livestore chosen by a flag.
