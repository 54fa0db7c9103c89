//! Rotary embedding on GPUs.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

pub(crate) mod kernel;
