//! Sound to units of speech and back.
