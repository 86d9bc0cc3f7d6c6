//! The one TLS configuration: rustls with ring, trusting Mozilla's roots and the host's own.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

/// The configuration for clients of any protocol, without ALPN. Made once, because reading the host's roots
/// takes milliseconds.
pub fn client_config() -> ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG.get_or_init(|| with_roots(roots())).clone()
}

/// A configuration that trusts nobody, for clients that never speak TLS.
pub(crate) fn untrusting_config() -> ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG.get_or_init(|| with_roots(RootCertStore::empty())).clone()
}

fn with_roots(roots: RootCertStore) -> ClientConfig {
    // The provider is named and never installed: a library must not decide for the whole process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => builder,
        Err(error) => unreachable!("ring knows the default versions of TLS: {error}"),
    };
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A host without a store of its own, or with an odd certificate in it, still has Mozilla's roots.
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_trusted_and_nobody_is() {
        assert!(roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
        assert!(client_config().alpn_protocols.is_empty());
        assert!(untrusting_config().alpn_protocols.is_empty());
    }
}
