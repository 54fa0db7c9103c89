//! Curves as SVG and PNG, and the self-contained page around them.
