//! The linear map on GPUs.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

mod kernel;
mod plan;
pub(crate) mod product;
