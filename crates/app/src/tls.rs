//! One TLS stack.

/// Makes rustls use ring, everywhere in the process. To be called first thing in `main`.
pub fn install_tls() {
    // It fails only where a provider is installed already, which is then this one.
    drop(rustls::crypto::ring::default_provider().install_default());
}
