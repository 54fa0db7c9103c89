//! Why a server cannot begin or go on.

use std::net::SocketAddr;

/// Why a server cannot begin or go on. What is wrong with a request is told to its client instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A setting cannot be.
    #[error("{key}: expected {expected}, found {found}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Nobody can listen at the address.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system gives no threads.
    #[error("cannot start the threads of the server: {0}")]
    Threads(std::io::Error),
}
