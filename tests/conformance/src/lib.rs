//! Suites that tell an implementer of a livestore trait when it is right.
