//! Laws of scaling, step matching and training phenomena: numbers in, numbers out.
