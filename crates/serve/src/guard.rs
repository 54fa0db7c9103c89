//! Who may ask: the host that is asked for, the page that asks, and the key.
//!
//! A server on this machine is within reach of every page that its user opens elsewhere. Two ways are closed here:
//!
//! - *DNS rebinding*: a foreign name comes to mean 127.0.0.1, and the browser takes the server for that page's own. It still
//!   says the foreign name in `Host`, and only `localhost`, addresses and configured names are answered.
//! - *Requests across sites*: a foreign page asks for 127.0.0.1 itself. Browsers say so in `Origin` and `Sec-Fetch-Site`; only
//!   the server's own page, and programs that are no browser, are answered. The page itself may be linked to.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::error::ApiError;
use crate::app::App;

/// Everything that the page is made of comes from the server itself, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Refuses foreign hosts and pages, and adds the headers that keep the page to itself.
pub(crate) async fn same_site(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check_site(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests without the key, where there is one.
pub(crate) async fn with_key(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(key) = &app.config.key else { return next.run(request).await };
    match bearer(request.headers()).is_some_and(|shown| is_same(shown, key.bytes())) {
        true => next.run(request).await,
        false => ApiError::new(StatusCode::UNAUTHORIZED, "expected the server's key as `Authorization: Bearer KEY`")
            .with_code("invalid_api_key")
            .into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = only(headers, &header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = (value.get(..7)?, value.get(7..)?);
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

/// Compares hashes, in a time that tells neither where the keys differ nor how long they are.
fn is_same(shown: &[u8], key: &[u8]) -> bool {
    let [shown, key] = [shown, key].map(Sha256::digest);
    shown.ct_eq(&key).into()
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn check_site(app: &App, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = only(headers, &header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "Host: expected one, found none or several"));
    };
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if !is_own(&app.config.names, host) || authority.is_some_and(|asked| !is_own(&app.config.names, asked)) {
        let message = "Host: expected `localhost`, an address or a configured name, found another one";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message).with_code("foreign_host"));
    }
    let foreign = |name| {
        let message = format!("{name}: pages of other sites may not ask this server");
        Err(ApiError::new(StatusCode::FORBIDDEN, message).with_code("foreign_page"))
    };
    let has_origin = headers.contains_key(header::ORIGIN);
    let origin = only(headers, &header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if has_origin && !origin.is_some_and(|origin| is_of_host(origin, host)) {
        return foreign("Origin");
    }
    let fetch = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_foreign = matches!(fetch("sec-fetch-site"), Some("cross-site" | "same-site"));
    let is_link = request.method() == Method::GET
        && request.uri().path() == "/"
        && fetch("sec-fetch-mode") == Some("navigate")
        && fetch("sec-fetch-dest") == Some("document");
    if is_foreign && !is_link { foreign("Sec-Fetch-Site") } else { Ok(()) }
}

/// Whether a page of `origin` came from `host`. The page may have come over TLS that ends before this server.
fn is_of_host(origin: &str, host: &str) -> bool {
    let bare = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
}

/// Whether a host, with or without port, is `localhost`, an address or one of `names`.
fn is_own(names: &[String], host: &str) -> bool {
    let Some(name) = name_of(host) else { return false };
    let is_address = name.parse::<IpAddr>().is_ok() || bracketed(name).is_some();
    is_address || name.eq_ignore_ascii_case("localhost") || names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn bracketed(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The host without its port.
fn name_of(host: &str) -> Option<&str> {
    let uri: Uri = host.parse().ok()?;
    let authority = uri.authority()?;
    // `user@host` is no host.
    let is_plain = authority.as_str() == host && !host.contains('@');
    let port_fits = authority.port().is_some() || !host.ends_with(':');
    (is_plain && port_fits)
        .then(|| host.strip_suffix(&authority.port().map(|port| format!(":{port}")).unwrap_or_default()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_hosts_are_localhost_addresses_and_configured_names() {
        let names = ["studio.local".to_string()];
        for own in ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "10.1.2.3", "[::1]:80", "[::1]", "studio.local:9"] {
            assert!(is_own(&names, own), "{own}");
        }
        let foreign = [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "a@localhost",
            "localhost@a",
            "::1",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "127.0.0.1/",
            "localhost localhost",
            "studio.local.",
        ];
        for foreign in foreign {
            assert!(!is_own(&names, foreign), "{foreign}");
        }
    }

    #[test]
    fn an_origin_is_the_host_with_its_port() {
        assert!(is_of_host("http://127.0.0.1:8000", "127.0.0.1:8000"));
        assert!(is_of_host("https://studio.local", "studio.local"));
        for foreign in ["null", "http://127.0.0.1:8001", "http://127.0.0.1", "http://evil.example", "file://", ""] {
            assert!(!is_of_host(foreign, "127.0.0.1:8000"), "{foreign}");
        }
    }

    #[test]
    fn keys_are_compared_whole() {
        assert!(is_same(b"secret-key", b"secret-key"));
        for other in [&b""[..], b"secret-ke", b"secret-keys", b"Secret-key"] {
            assert!(!is_same(other, b"secret-key"));
        }
    }
}
