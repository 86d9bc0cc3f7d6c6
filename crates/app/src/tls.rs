//! One TLS stack: rustls with ring, trusting Mozilla's roots and the host's own.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Makes rustls use ring, everywhere in the process. To be called first thing in `main`.
pub fn install_tls() {
    // It fails only where a provider is installed already, which is then this one.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// How the programs speak TLS to the servers that they tell something. Reads the host's certificates.
///
/// # Errors
/// Where ring knows none of the protocol's versions, which no build allows.
pub fn tls_client() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A host without certificates of its own, or with a broken one among them, still has Mozilla's.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
