//! Settings of the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ServeError;

/// Settings of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// The address to listen at. Only a loopback address may go without a key.
    pub host: IpAddr,
    /// The port to listen at; 0 takes a free one.
    pub port: u16,
    /// What clients have to show, as `Authorization: Bearer KEY`; anybody on this machine may ask if absent.
    pub key: Option<Key>,
    /// Names, besides `localhost`, under which the server may be asked for, such as `studio.local`. Addresses always may.
    pub names: Vec<String>,
    /// The most images or texts that wait at once, from 1 to 4096; what comes on top of them is refused with status 429.
    pub queue: usize,
    /// The most images or texts that are computed at once, from 1 to 1024.
    pub max_batch: usize,
    /// The most images that one request may ask for, from 1 to 64 and to `queue`.
    pub max_images: usize,
    /// The most denoising steps that a request may ask for, from 1 to 1000.
    pub max_steps: usize,
    /// The largest body of a request in bytes, from 1 KiB to 256 MiB.
    pub max_body: usize,
    /// The most pixels of an image that is sent, from 1 to 67 108 864.
    pub max_pixels: u64,
    /// The most bytes of a prompt in UTF-8, from 1 to 1 MiB.
    pub max_prompt: usize,
    /// The most connections that are open at once, from 1 to 65 536; more wait until one closes.
    pub max_connections: usize,
    /// Seconds within which a request has to arrive, from 0.05 to 3600; slower ones get status 408. A client that takes nothing of
    /// its answer for as long is left.
    pub read_timeout: f64,
    /// Seconds within which a request that has arrived has to be answered in full, waiting included, from 0.05 to 86 400; then
    /// its computation is stopped and it gets status 504.
    pub timeout: f64,
    /// Seconds that requests are still given when the server is told to end, from 0 to 3600.
    pub grace: f64,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            key: None,
            names: vec![],
            queue: 256,
            max_batch: 16,
            max_images: 10,
            max_steps: 250,
            max_body: 16 << 20,
            max_pixels: 16 << 20,
            max_prompt: 16 << 10,
            max_connections: 256,
            read_timeout: 30.0,
            timeout: 600.0,
            grace: 10.0,
        }
    }
}

/// A secret that clients have to show. It is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Of its characters, which [`ServeConfig::validate`] checks.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

impl ServeConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), ServeError> {
        let whole = [
            ("queue", self.queue as u64, 1, 4096),
            ("max_batch", self.max_batch as u64, 1, 1024),
            ("max_images", self.max_images as u64, 1, 64.min(self.queue as u64)),
            ("max_steps", self.max_steps as u64, 1, 1000),
            ("max_body", self.max_body as u64, 1 << 10, 256 << 20),
            ("max_pixels", self.max_pixels, 1, 64 << 20),
            ("max_prompt", self.max_prompt as u64, 1, 1 << 20),
            ("max_connections", self.max_connections as u64, 1, 1 << 16),
        ];
        for (key, found, low, high) in whole {
            if found < low || found > high {
                return Err(setting(key, format!("a whole number from {low} to {high}"), found));
            }
        }
        let seconds = [
            ("read_timeout", self.read_timeout, 0.05, 3600.0),
            ("timeout", self.timeout, 0.05, 86_400.0),
            ("grace", self.grace, 0.0, 3600.0),
        ];
        for (key, found, low, high) in seconds {
            if !(found >= low && found <= high) {
                return Err(setting(key, format!("seconds from {low} to {high}"), found));
            }
        }
        for name in &self.names {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
            if name.is_empty() || name.len() > 253 || !name.bytes().all(is_name) {
                return Err(setting(
                    "names",
                    "names of hosts without port, such as `studio.local`",
                    format!("{name:?}"),
                ));
            }
        }
        match &self.key {
            None if !self.host.is_loopback() => {
                Err(setting("host", "a loopback address, such as 127.0.0.1, where there is no `key`", self.host))
            }
            Some(Key(key)) if key.len() < 8 || key.len() > 512 || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(setting("key", "8 to 512 visible ASCII characters", format!("{} characters", key.chars().count())))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.read_timeout)
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs_f64(self.grace)
    }
}

fn setting(key: &'static str, expected: impl Into<String>, found: impl ToString) -> ServeError {
    ServeError::Setting { key, expected: expected.into(), found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut ServeConfig)) -> String {
        let mut config = ServeConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_hold() {
        ServeConfig::default().validate().unwrap();
    }

    #[test]
    fn a_message_names_the_key() {
        assert_eq!(message(|c| c.queue = 0), "queue: expected a whole number from 1 to 4096, found 0");
        assert_eq!(message(|c| c.queue = 4), "max_images: expected a whole number from 1 to 4, found 10");
        assert_eq!(message(|c| c.timeout = f64::NAN), "timeout: expected seconds from 0.05 to 86400, found NaN");
        assert!(message(|c| c.names = vec!["a b".into()]).starts_with("names: "));
    }

    #[test]
    fn the_network_needs_a_key_and_a_key_is_not_printed() {
        assert!(message(|c| c.host = [0, 0, 0, 0].into()).starts_with("host: "));
        let short = message(|c| c.key = Some(Key::new("secret")));
        assert_eq!(short, "key: expected 8 to 512 visible ASCII characters, found 6 characters");
        let open =
            ServeConfig { host: [0, 0, 0, 0].into(), key: Some(Key::new("a-long-secret")), ..Default::default() };
        open.validate().unwrap();
        assert!(!format!("{open:?}").contains("secret"));
    }
}
